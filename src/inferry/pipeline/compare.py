"""The parity ledger: from the original network to the deployed one, hop by hop, and where it first goes wrong."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inferry.core.bundle import Bundle, open_bundle
from inferry.core.errors import ParityError, UsageError
from inferry.core.files import to_json_text, write_atomic
from inferry.core.machine import signature
from inferry.core.protocols import Recipe, SessionOptions, flag_of
from inferry.core.runs import LEDGER
from inferry.core.samples import Rejected
from inferry.core.specs import Array
from inferry.core.tolerances import LOGITS
from inferry.models.registry import get_recipe
from inferry.pipeline.comparison.cases import Case, Cases, choose_cases, read_cases
from inferry.pipeline.comparison.fault import Fault, find_fault
from inferry.pipeline.comparison.forms import BACKEND
from inferry.pipeline.comparison.hops import SCORES, Hop, Meter
from inferry.pipeline.comparison.lineup import Against, LineUp, line_up
from inferry.pipeline.model import Model
from inferry.pipeline.output import check_output
from inferry.pipeline.tasks.registry import get_task

__all__ = ["Against", "Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """The ledger.

    Attributes:
        bundle: That was compared.
        truth: What every hop is compared with.
        hops: In order.
        fault: None where every hop passed.
        data: The data set, None for the recipe's probes.
        available: Samples that the data set has.
        left_out: Chosen samples that could not be compared, and samples without a readable length.
        notes: What a reader of the numbers should know.
        signature: Versions and machine.
    """

    bundle: Bundle
    truth: str
    hops: tuple[Hop, ...]
    fault: Fault | None
    data: str | None
    available: int
    left_out: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    signature: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no hop changed anything."""
        return self.fault is None

    def to_json(self) -> dict[str, Any]:
        """The content of parity.json."""
        return {
            "truth": self.truth,
            "hops": [hop.to_json() for hop in self.hops],
            "fault": None if self.fault is None else self.fault.to_json(),
            "bundle": self.bundle.digest,
            "data": self.data,
            "available": self.available,
            "left_out": [one.to_json() for one in self.left_out],
            "notes": list(self.notes),
            "signature": self.signature,
        }


def compare(
    bundle: str | Path,
    against: Against,
    *,
    data: Path | None = None,
    limit: int | None = None,
    kind: str | None = None,
    output: Path | None = None,
) -> Comparison:
    """Compare a bundle with the original network, another bundle, or outputs made elsewhere.

    Args:
        bundle: The bundle's folder.
        against: What to compare with.
        data: The data set; None for the recipe's probes.
        limit: Most samples, None for 32 that are spread over the lengths.
        kind: The data set's layout, None to recognise it.
        output: Folder for parity.json; a run's folder takes it in for its report.

    Returns:
        The ledger. A hop that changed the answer is in it as `Comparison.fault`; it is not raised.

    Raises:
        UsageError: The options contradict each other, or the output cannot be written.
        ParityError: Nothing could be compared, or outputs have another shape.
        MissingDependencyError: The original is wanted and the ``reference`` extra is not installed.
    """
    opened = _opened(Path(bundle), against, data, output)
    recipe = get_recipe(opened.manifest.family)
    with ExitStack() as stack:
        model = stack.enter_context(Model(opened, BACKEND, SessionOptions()))
        cases = choose_cases(model, recipe, data, limit, kind)
        lineup = line_up(model, recipe, against, cases, stack)
        meters, left_out = _measure(model, recipe, lineup, cases)
        made_by = signature() | lineup.signature | model.signature()
    # The sessions are closed by now: the search opens its own.
    faults = tuple(filter(None, (find_fault(model, lineup.forms, meters, cases), *lineup.faults)))
    result = Comparison(
        bundle=opened,
        truth=lineup.forms[0].name,
        hops=(*lineup.skipped, *(meter.hop() for meter in meters)),
        fault=faults[0] if faults else None,
        data=None if data is None else str(data),
        available=cases.of,
        left_out=left_out,
        notes=(*lineup.notes, *(fault.sentence for fault in faults[1:])),
        signature=made_by,
    )
    _write(result, output)
    return result


def _write(result: Comparison, folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / LEDGER, to_json_text(result.to_json()))


def _opened(path: Path, against: Against, data: Path | None, output: Path | None) -> Bundle:
    """The bundle; what cannot be meant is refused."""
    bundle = open_bundle(path)
    if against.bundle is not None and (against.checkpoint is not None or against.outputs is not None):
        raise UsageError("--bundle stands alone: leave out --checkpoint and --outputs")
    if against.checkpoint is None and against.bundle is None and against.outputs is None and against.reference:
        raise UsageError(
            "nothing to compare with: give --checkpoint PATH, --bundle OTHER or --outputs DIR;"
            " --no-reference alone compares the bundle's hops with each other"
        )
    if against.options.given and against.checkpoint is None:
        flags = ", ".join(map(flag_of, against.options.given))
        raise UsageError(f"{flags}: this says how a checkpoint is read; give --checkpoint PATH, or leave it out")
    if against.outputs is not None and data is None:
        raise UsageError("--outputs needs --data: the files are named after the data set's ids")
    if against.outputs is not None and not against.outputs.is_dir():
        raise UsageError(
            f"{against.outputs} is no folder: --outputs takes one with <id>.npy or <id>.npz for each sample"
        )
    if output is not None:
        check_output(output, bundle)
    return bundle


def _require_finite_truth(name: str, batch: Sequence[Case], outputs: Sequence[Mapping[str, Array]]) -> None:
    for case, output in zip(batch, outputs, strict=True):
        if not np.isfinite(output[SCORES]).all():
            raise ParityError(f"{name!r}, the truth of this comparison, gives logits that are not finite for {case.id}")


def _measure(model: Model, recipe: Recipe, lineup: LineUp, cases: Cases) -> tuple[list[Meter], tuple[Rejected, ...]]:
    """Every form on every sample, batch by batch, and what was left out; nothing but numbers and answers is kept."""
    forms, left_out = lineup.forms, list(cases.rejected)
    task, files = get_task(recipe.task), model.bundle.text_files()
    meters = [Meter(form.name, model.decoder, LOGITS["fp32"], task, files) for form in forms[1:]]
    compared = 0
    for batch in read_cases(model, cases, left_out):
        compared += len(batch)
        outputs = [form.run(batch) for form in forms]
        _require_finite_truth(forms[0].name, batch, outputs[0])
        for place, meter in enumerate(meters, start=1):
            for row, case in enumerate(batch):
                before = outputs[place - 1][row] if place > 1 else None
                meter.add(case.id, outputs[0][row], outputs[place][row], previous=before, reference=case.reference)
    if not compared:
        reason = f"{left_out[0].id}: {left_out[0].reason}" if left_out else "there are no samples"
        raise ParityError(" ".join([f"nothing was compared: {reason}", *(fault.sentence for fault in lineup.faults)]))
    return meters, tuple(left_out)
