"""One pass after the other: each is kept only once it is proven."""

import shutil
from pathlib import Path

import onnx_ir as ir

from inferry.core.errors import BackendError
from inferry.passes.rewriting import Outcome, Pass
from inferry.pipeline.optimising.failures import Failures, Fault
from inferry.pipeline.optimising.files import count_nodes, load_model, save_model
from inferry.pipeline.optimising.ledger import Entry
from inferry.pipeline.optimising.prover import CaseError, Prover, Results


class Steps:
    """The model as far as it is proven, and the pass that comes next.

    Args:
        model: The file to begin with.
        loaded: The same, read.
        prover: Runs it.
        failures: Keeps what shows the fault of a pass.
        folder: For the models on the way.

    Attributes:
        model: The last file that was kept.
        results: What it gives.
    """

    def __init__(self, model: Path, loaded: ir.Model, prover: Prover, failures: Failures, folder: Path) -> None:
        self.model = model
        self.results: Results = prover.original
        self._prover = prover
        self._failures = failures
        self._folder = folder
        self._nodes = count_nodes(loaded)
        self._taken = 0

    def take(self, one: Pass) -> Entry:
        """Apply a pass, and keep what it gives if that is proven."""
        try:
            outcome = one.apply(load_model(self.model))
        except Exception as error:  # noqa: BLE001 -- whatever a rewrite stumbles over, the model before it stands
            fault = Fault(one.name, f"{type(error).__name__}: {error}", self.model, whole="the pass itself failed")
            return self._rolled_back(fault)
        if not outcome.matches:
            return Entry(one.name, "nothing to change", 0, outcome.declined, self._nodes, self._nodes, None)
        self._taken += 1
        file = self._folder / str(self._taken) / "model.onnx"
        file.parent.mkdir()
        written = None
        try:
            save_model(outcome.model, file)
            written = file
            results = self._prover.run(file)
        except (BackendError, ValueError) as error:  # onnx and onnx_ir refuse to write what is no model
            # Where the file lay for a moment helps nobody.
            problem = " ".join(str(error).replace(str(file), file.name).split())
            inputs = error.case.inputs if isinstance(error, CaseError) else None
            fault = Fault(one.name, problem, self.model, written, inputs, whole="what the pass made does not run")
            return self._rolled_back(fault, outcome)
        return self._judge(one, outcome, file, results)

    def _judge(self, one: Pass, outcome: Outcome, file: Path, results: Results) -> Entry:
        """Keep a model that runs, if it gives what the last one and the first one gave."""
        proof = self._prover.compare(self.results, results)
        drift = self._prover.compare(self._prover.original, results)
        if proof.problem or drift.problem:
            shown = proof if proof.problem else drift
            whole = "" if proof.output else "the outputs cannot be compared"
            if not proof.problem:
                whole = "no single pass makes the difference: it adds up from the first model to this one"
            inputs = self._prover.cases[shown.case].inputs
            fault = Fault(one.name, shown.problem, self.model, file, inputs, proof.output, whole)
            return self._rolled_back(fault, outcome, proof.difference)
        before, self._nodes = self._nodes, count_nodes(outcome.model)
        self._discard(self.model)
        self.model, self.results = file, results
        return Entry(one.name, "kept", outcome.matches, outcome.declined, before, self._nodes, proof.difference)

    def _rolled_back(self, fault: Fault, outcome: Outcome | None = None, difference: float | None = None) -> Entry:
        """What the pass did, if it came to an end, and what is kept of it."""
        matches, declined = (0, ()) if outcome is None else (outcome.matches, outcome.declined)
        failure = self._failures.keep(fault, self._prover.tolerance)
        if fault.after is not None:
            self._discard(fault.after)
        nodes = self._nodes
        return Entry(fault.name, "rolled back", matches, declined, nodes, nodes, difference, fault.problem, failure)

    def _discard(self, file: Path) -> None:
        """Models on the way may be large, and the next one is written; the user's own stays."""
        if file.is_relative_to(self._folder):
            shutil.rmtree(file.parent)
