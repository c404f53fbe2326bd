"""Rewrites an ONNX file or a bundle for a target, pass by pass, and keeps only what is proven to change no answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

from inferry.core.bundle import MODEL
from inferry.core.errors import ParityError, UsageError
from inferry.core.files import atomic_folder
from inferry.core.machine import signature
from inferry.passes.fix_shapes import FixShapes
from inferry.passes.registry import get_pass, get_target
from inferry.passes.rewriting import Pass
from inferry.pipeline.optimising.bundles import open_source, write_rest
from inferry.pipeline.optimising.cases import Case, made_up_cases, precision_of
from inferry.pipeline.optimising.failures import Failures
from inferry.pipeline.optimising.files import load_model, read_model, save_model
from inferry.pipeline.optimising.ledger import Entry, Ledger
from inferry.pipeline.optimising.probes import ask, compare_answers
from inferry.pipeline.optimising.prover import Prover
from inferry.pipeline.optimising.steps import Steps


def optimize(
    model: Path,
    output: Path,
    passes: Sequence[str] | None = None,
    target: str = "onnxruntime",
    *,
    sizes: Mapping[str, int] | None = None,
    cases: Iterable[Case] | None = None,
    seed: int = 0,
) -> Ledger:
    """Run passes over any ONNX file, or over the graph of a bundle, and write the result.

    After each pass the model is run as it was before and as it is now, on the same inputs and without the runtime's
    own rewrites. A pass that changes an output, against the step before or against the file itself, by more than
    `inferry.core.tolerances.REWRITE`, or that fails, is rolled back and named, and what shows its fault is kept in
    ``<output>.failed``. A bundle is proven on its recipe's probes too, and the new one must give the old one's answers.

    Args:
        model: An ONNX file (its external data lies beside it) or a bundle's folder.
        output: What to write: a file (large weights or those that were external go beside it, to ``NAME.data``), or a
            bundle's folder, which may replace an older bundle.
        passes: Names, in order; by default the target's own.
        target: A key of `inferry.passes.registry.TARGETS`.
        sizes: Of dynamic dimensions, by name: they are fixed before any other pass runs.
        cases: Inputs to prove it on; made up by default.
        seed: Of those that are made up.

    Raises:
        UsageError: No such file, pass, target or dimension, or the output would replace something else.
        BackendError: ONNX Runtime does not open the model.
        BundleError: The bundle is broken.
        ParityError: It runs on none of the cases, so nothing can be proven, or what was written would give other
            answers; nothing is written then.
    """
    fixed = dict(sizes or {})
    job = _Job(model, output, target, _chosen(passes, target, fixed), fixed, cases, seed)
    return _optimize_bundle(job) if model.is_dir() else _optimize_file(job)


@dataclass(frozen=True)
class _Job:
    """What `optimize` was asked."""

    model: Path
    output: Path
    target: str
    passes: Sequence[Pass]
    sizes: Mapping[str, int] = field(default_factory=dict)
    cases: Iterable[Case] | None = None
    seed: int = 0

    def prover(self, file: Path, graph: ir.Model, probes: Sequence[Case] = ()) -> Prover:
        """On the user's own cases, or on made-up ones and a bundle's probes."""
        precision = precision_of(graph)
        if self.cases is not None:
            return Prover(file, (), real=tuple(self.cases), precision=precision)
        return Prover(file, made_up_cases(graph, self.seed, self.sizes), real=probes, precision=precision)

    def ledger(self, entries: Sequence[Entry], final: ir.Model, difference: float, prover: Prover) -> Ledger:
        """What was done, and what the target has against it."""
        legal = get_target(self.target).opsets
        return Ledger(
            self.model,
            self.output,
            self.target,
            tuple(entries),
            difference,
            tuple(dict.fromkeys(case.sizes for case in prover.cases)),
            prover.skipped,
            tuple(legal.problems(final)) if legal is not None else (),
            {**signature(), **prover.signature, "seed": self.seed},
        )


def _chosen(passes: Sequence[str] | None, target: str, sizes: Mapping[str, int]) -> tuple[Pass, ...]:
    names = get_target(target).passes if passes is None else passes
    chosen = tuple(get_pass(name) for name in names if not sizes or name != FixShapes.name)
    return (FixShapes(sizes), *chosen) if sizes else chosen


def _optimize_file(job: _Job) -> Ledger:
    first = read_model(job.model, job.output)
    _check_sizes(job, first)
    prover = job.prover(job.model, first)
    job.output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{job.output.name}.", suffix=".tmp", dir=job.output.parent) as folder:
        entries, final = _rewrite(job, job.model, first, prover, Path(folder))
        written = Path(folder) / "written"
        written.mkdir()
        difference = _write(final, written / job.output.name, job.output, prover)
        for file in written.iterdir():
            file.replace(job.output.parent / file.name)
    return job.ledger(entries, final, difference, prover)


def _optimize_bundle(job: _Job) -> Ledger:
    bundle = open_source(job.model, job.output)
    first = load_model(bundle.model)
    _check_sizes(job, first)
    probes = ask(bundle, job.sizes)
    prover = job.prover(bundle.model, first, probes.cases)
    with (
        atomic_folder(job.output) as folder,
        TemporaryDirectory(prefix=f".{job.output.name}.", suffix=".passes", dir=job.output.parent) as scratch,
    ):
        entries, final = _rewrite(job, bundle.model, first, prover, Path(scratch))
        difference = _write(final, folder / MODEL, job.output, prover)
        ledger = job.ledger(entries, final, difference, prover)
        ledger = replace(ledger, untouched=tuple(bundle.manifest.parts.values()), left_out=probes.left_out)
        draft = write_rest(bundle, folder, final, ledger)
        ledger = replace(ledger, hops=compare_answers(probes, draft))
        for hop in ledger.hops:
            if not hop.passed:
                raise ParityError(
                    f"{job.output} was not written, for its answers are others: {hop.name}: {hop.problem}"
                )
        write_rest(bundle, folder, final, ledger)
    return ledger


def _check_sizes(job: _Job, graph: ir.Model) -> None:
    """Refuse sizes that cannot be meant.

    Raises:
        UsageError: A name that no input has, or a size below 1.
    """
    problems = [f"{one.node} {one.reason}" for one in FixShapes(job.sizes).problems(graph)]
    if problems:
        raise UsageError(f"--sizes: {'; '.join(problems)}")


def _rewrite(
    job: _Job, model: Path, first: ir.Model, prover: Prover, folder: Path
) -> tuple[tuple[Entry, ...], ir.Model]:
    """All passes in turn; gives what became of each, and the last model that was proven.

    Raises:
        UsageError: The sizes contradict each other.
    """
    failures = Failures(job.output, folder / "failed")
    steps = Steps(model, first, prover, failures, folder)
    entries = []
    for one in job.passes:
        entry = steps.take(one)
        if one.name == FixShapes.name and job.sizes and entry.result == "nothing to change":
            raise UsageError(f"--sizes cannot be taken: {'; '.join(entry.reasons)}")
        entries.append(entry)
    failures.publish()
    return tuple(entries), load_model(steps.model, shapes=False)


def _write(model: ir.Model, file: Path, output: Path, prover: Prover) -> float:
    """Write the last model that was kept, and prove the very file; gives its difference.

    Raises:
        ParityError: Reading and writing alone changed an answer.
    """
    save_model(model, file)
    proof = prover.compare(prover.original, prover.run(file))
    if proof.problem:
        raise ParityError(f"{output} was not written, for it would not give what the model gives: {proof.problem}")
    return proof.difference
