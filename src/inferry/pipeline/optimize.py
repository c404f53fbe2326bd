"""Rewrites an ONNX file for a target, pass by pass, and keeps only what is proven to change no answer."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from inferry.core.errors import BackendError, ParityError, UsageError
from inferry.passes.registry import get_pass, get_target
from inferry.passes.rewriting import Pass
from inferry.pipeline.comparison.bisection import first_departure
from inferry.pipeline.comparison.probing import Side
from inferry.pipeline.optimising.cases import Case, made_up_cases
from inferry.pipeline.optimising.ledger import Entry, Ledger
from inferry.pipeline.optimising.prover import Proof, Prover, Results, compare

_LARGEST_FILE: Final = 1 << 30
"""Bytes of weights that still go into the ONNX file itself; protobuf ends at twice as many."""


def optimize(
    model: Path,
    output: Path,
    passes: Sequence[str] | None = None,
    target: str = "onnxruntime",
    *,
    cases: Iterable[Case] | None = None,
    seed: int = 0,
) -> Ledger:
    """Run passes over any ONNX file and write the result.

    After each pass the model is run as it was before and as it is now, on the same inputs and without the runtime's
    own rewrites. A pass that changes an output, against the step before or against the file itself, by more than
    `inferry.core.tolerances.REWRITE`, or that fails, is rolled back and named.

    Args:
        model: An ONNX file; its external data lies beside it.
        output: The file to write; large weights or those that were external go beside it, to ``NAME.data``.
        passes: Names, in order; by default the target's own.
        target: A key of `inferry.passes.registry.TARGETS`.
        cases: Inputs to prove it on; made up by default.
        seed: Of those that are made up.

    Raises:
        UsageError: No such file, pass or target, or the output would replace the model.
        BackendError: ONNX Runtime does not open the model.
        ParityError: It runs on none of the cases, so nothing can be proven, or writing it alone changes an answer.
    """
    legal = get_target(target).opsets
    chosen = [get_pass(name) for name in (get_target(target).passes if passes is None else passes)]
    first = _read(model, output)
    output.parent.mkdir(parents=True, exist_ok=True)
    prover = Prover(model, made_up_cases(first, seed) if cases is None else cases)
    with TemporaryDirectory(prefix=f".{output.name}.", suffix=".tmp", dir=output.parent) as folder:
        steps = _Steps(model, first, prover, Path(folder))
        entries = tuple(steps.take(one) for one in chosen)
        final = _load(steps.model, shapes=False)
        difference = _write(final, output, prover, Path(folder) / "written")
    return Ledger(
        model,
        output,
        target,
        entries,
        difference,
        tuple(case.sizes for case in prover.cases),
        prover.skipped,
        tuple(legal.problems(final)) if legal is not None else (),
        {**prover.signature, "seed": seed},
    )


def _write(model: ir.Model, output: Path, prover: Prover, folder: Path) -> float:
    """Put the last model that was kept in its place, once the very file is proven; gives its difference.

    Raises:
        ParityError: Reading and writing alone changed an answer.
    """
    folder.mkdir()
    _save(model, folder / output.name)
    proof = compare(prover.original, prover.run(folder / output.name))
    if proof.problem:
        raise ParityError(f"{output} was not written, for it would not give what the model gives: {proof.problem}")
    for file in folder.iterdir():
        file.replace(output.parent / file.name)
    return proof.difference


class _Steps:
    """The model as far as it is proven, and the pass that comes next.

    Attributes:
        model: The last file that was kept.
        results: What it gives.
    """

    def __init__(self, model: Path, loaded: ir.Model, prover: Prover, folder: Path) -> None:
        self.model = model
        self.results: Results = prover.original
        self._prover = prover
        self._folder = folder
        self._nodes = _count(loaded)
        self._taken = 0

    def take(self, one: Pass) -> Entry:
        """Apply a pass, and keep what it gives if that is proven."""
        before = self._nodes
        try:
            outcome = one.apply(_load(self.model))
        except Exception as error:  # noqa: BLE001 -- whatever a rewrite stumbles over, the model before it stands
            return Entry(one.name, "rolled back", 0, (), before, before, None, f"{type(error).__name__}: {error}")
        if not outcome.matches:
            return Entry(one.name, "nothing to change", 0, outcome.declined, before, before, None)
        self._taken += 1
        file = self._folder / str(self._taken) / "model.onnx"
        file.parent.mkdir()
        entry = partial(Entry, one.name, matches=outcome.matches, declined=outcome.declined, nodes_before=before)
        try:
            _save(outcome.model, file)
            results = self._prover.run(file)
        except (BackendError, ValueError) as error:  # onnx and onnx_ir refuse to write what is no model
            return entry("rolled back", nodes_after=before, difference=None, problem=str(error))
        proof = compare(self.results, results)
        problem = proof.problem or compare(self._prover.original, results).problem
        if problem:
            node = self._culprit(file, proof)
            return entry("rolled back", nodes_after=before, difference=proof.difference, problem=problem, node=node)
        self.model, self.results, self._nodes = file, results, _count(outcome.model)
        return entry("kept", nodes_after=self._nodes, difference=proof.difference)

    def _culprit(self, file: Path, proof: Proof) -> str:
        """The first node whose output departs, as far as the two files share names."""
        if not proof.output:
            return ""
        inputs = self._prover.cases[proof.case].inputs
        try:
            departure = first_departure(Side(self.model, inputs), Side(file, inputs), proof.output)
        except BackendError:  # a runtime may refuse to hand out a tensor from the middle
            return ""
        return "" if departure is None or departure.unseen else departure.node


def _read(model: Path, output: Path) -> ir.Model:
    """The model, once it is clear that writing the output harms nothing that it needs.

    Raises:
        UsageError: It cannot be read, or the output would replace it or its weights.
    """
    if not model.is_file():
        raise UsageError(f"there is no ONNX file {model}" + ("; a bundle's is model.onnx" if model.is_dir() else ""))
    if model.resolve() == output.resolve():
        raise UsageError(f"{output} is the model itself: choose another output")
    try:
        loaded = _load(model)
    except Exception as error:  # protobuf's own errors share no base but Exception
        raise UsageError(f"{model} cannot be read as an ONNX file: {error}") from error
    tensors = [value.const_value for graph in loaded.graphs() for value in graph.initializers.values()]
    read = {Path(tensor.path).resolve() for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}
    if _data(output).resolve() in read:
        raise UsageError(f"the model reads its weights from {_data(output)}: choose another output than {output}")
    return loaded


def _data(file: Path) -> Path:
    return file.with_name(f"{file.name}.data")


def _load(model: Path, *, shapes: bool = True) -> ir.Model:
    """With types and shapes as far as ONNX infers them; a model that it cannot infer keeps those it has."""
    loaded = ir.load(model)
    if shapes:
        ShapeInferencePass()(loaded)
    return loaded


def _save(model: ir.Model, file: Path) -> None:
    """Weights go beside the file where they did before, or where they are too many for it."""
    tensors = [value.const_value for graph in model.graphs() for value in graph.initializers.values()]
    external = any(isinstance(tensor, ir.ExternalTensor) for tensor in tensors)
    if external or sum(tensor.nbytes for tensor in tensors if tensor is not None) > _LARGEST_FILE:
        ir.save(model, file, external_data=_data(file).name)
    else:
        ir.save(model, file)


def _count(model: ir.Model) -> int:
    return sum(len(graph) for graph in model.graphs())
