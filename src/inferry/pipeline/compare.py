"""The parity ledger: from the original network to the deployed one, hop by hop, and where it first goes wrong."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from inferry.core.bundle import PROCESSOR, Bundle, open_bundle
from inferry.core.errors import ParityError, UsageError
from inferry.core.files import to_json_text, write_atomic
from inferry.core.machine import signature
from inferry.core.protocols import Checkpoint, Recipe, SessionOptions
from inferry.core.runs import LEDGER
from inferry.core.samples import Rejected
from inferry.core.specs import Array
from inferry.core.tolerances import LOGITS
from inferry.models.registry import get_recipe, locate_checkpoint
from inferry.pipeline.comparison.cases import Case, Cases, choose_cases, read_cases
from inferry.pipeline.comparison.fault import Fault, find_fault
from inferry.pipeline.comparison.forms import (
    BACKEND,
    Form,
    alone,
    batched_form,
    bundle_form,
    checkpoint_form,
    deployed_forms,
    folder_form,
    original_module,
)
from inferry.pipeline.comparison.hops import SCORES, Hop, Meter
from inferry.pipeline.comparison.modules import Traced
from inferry.pipeline.model import Model
from inferry.pipeline.output import check_output


@dataclass(frozen=True)
class Against:
    """What a bundle is compared with; see `compare`.

    Attributes:
        checkpoint: Path or preset name: the original network is the truth.
        bundle: Another bundle: it alone is the truth.
        outputs: A folder of outputs made elsewhere.
        reference: Whether the original network is run.
    """

    checkpoint: str | Path | None = None
    bundle: Path | None = None
    outputs: Path | None = None
    reference: bool = True


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
    output: Path | None = None,
) -> Comparison:
    """Compare a bundle with the original network, another bundle, or outputs made elsewhere.

    Args:
        bundle: The bundle's folder.
        against: What to compare with.
        data: The data set; None for the recipe's probes.
        limit: Most samples, None for 32 that are spread over the lengths.
        output: Folder for parity.json; a run's folder takes it in for its report.

    Returns:
        The ledger. A hop that changed the answer is in it as `Comparison.fault`; it is not raised.

    Raises:
        UsageError: The options contradict each other, or the output cannot be written.
        ParityError: Nothing could be compared, or outputs have another shape.
        MissingDependencyError: The original is wanted and the ``reference`` extra is not installed.
    """
    opened = open_bundle(bundle)
    _check(opened, against, data, output)
    recipe = get_recipe(opened.manifest.family)
    with ExitStack() as stack:
        model = stack.enter_context(Model(opened, BACKEND, SessionOptions()))
        cases = choose_cases(model, recipe, data, limit)
        lineup = _line_up(model, recipe, against, cases, stack)
        meters, left_out = _measure(model, recipe, lineup.forms, cases)
        made_by = signature() | lineup.signature | model.signature()
    # The sessions are closed by now: the search opens its own.
    fault = find_fault(model, lineup.forms, meters, cases) or _files_fault(lineup.other_files)
    result = Comparison(
        bundle=opened,
        truth=lineup.forms[0].name,
        hops=(*lineup.skipped, *(meter.hop() for meter in meters)),
        fault=fault,
        data=None if data is None else str(data),
        available=cases.of,
        left_out=left_out,
        notes=(*lineup.notes, *filter(None, (lineup.other_files,))),
        signature=made_by,
    )
    if output is not None:
        _write(result, output)
    return result


def _write(result: Comparison, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / LEDGER, to_json_text(result.to_json()))


def _check(bundle: Bundle, against: Against, data: Path | None, output: Path | None) -> None:
    """Refuse what cannot be meant."""
    if against.bundle is not None and (against.checkpoint is not None or against.outputs is not None):
        raise UsageError("--bundle stands alone: leave out --checkpoint and --outputs")
    if against.checkpoint is None and against.bundle is None and against.outputs is None and against.reference:
        raise UsageError(
            "nothing to compare with: give --checkpoint PATH, --bundle OTHER or --outputs DIR;"
            " --no-reference alone compares the bundle's hops with each other"
        )
    if against.outputs is not None and data is None:
        raise UsageError("--outputs needs --data: the files are named after the data set's ids")
    if against.outputs is not None and not against.outputs.is_dir():
        raise UsageError(
            f"{against.outputs} is no folder: --outputs takes one with <id>.npy or <id>.npz for each sample"
        )
    if output is not None:
        check_output(output, bundle)


@dataclass(frozen=True)
class _LineUp:
    """The forms to compare, the truth first."""

    forms: tuple[Form, ...]
    skipped: tuple[Hop, ...] = ()
    notes: tuple[str, ...] = ()
    signature: dict[str, Any] = field(default_factory=dict)
    other_files: str = ""
    """What decides features and answers and is not the truth's; empty if all is."""


def _line_up(model: Model, recipe: Recipe, against: Against, cases: Cases, stack: ExitStack) -> _LineUp:
    if against.bundle is not None:
        return _with_bundle(model, against.bundle, stack)
    made: tuple[Form, ...] = ()
    notes: tuple[str, ...] = ()
    differing = ""
    if against.outputs is not None:
        form, notes = folder_form(against.outputs, cases.ids, [sample.id for sample in cases.samples])
        made = (form,)
        if against.checkpoint is None:
            return _LineUp((Form(f"{model.bundle.path.name}, alone", alone(model)), *made), notes=notes)
    checkpoint = None
    if against.checkpoint is not None:
        checkpoint = recipe.read(locate_checkpoint(recipe, against.checkpoint))
        notes += _other_checkpoint(model.bundle, checkpoint)
        files = {PROCESSOR: checkpoint.processor, **checkpoint.files}
        differing = _other_files(model.bundle, files, "the checkpoint's")
    forms = (*deployed_forms(model, stack, checkpoint, recipe), *made)
    if checkpoint is None:
        return _LineUp(forms, (Hop(forms[0].name, skipped="there is no checkpoint to compare it with"),), notes)
    if not against.reference:
        written = checkpoint_form(model, stack, checkpoint, recipe)
        skipped = Hop("original", skipped="left out by --no-reference")
        return _LineUp((written, *forms), (skipped,), notes, other_files=differing)
    network = recipe.reference(checkpoint)
    if isinstance(network, Traced):
        forms = (replace(forms[0], modules=original_module(model, network)), *forms[1:])
    original = Form("original alone", lambda batch: [network.infer(case.features.inputs) for case in batch])
    return _LineUp((original, *forms), (), notes, dict(network.signature()), differing)


def _with_bundle(model: Model, path: Path, stack: ExitStack) -> _LineUp:
    other = stack.enter_context(Model(open_bundle(path), BACKEND, SessionOptions()))
    found, wanted = other.bundle.manifest, model.bundle.manifest
    if [spec.to_json() for spec in found.inputs] != [spec.to_json() for spec in wanted.inputs]:
        raise UsageError(f"{path} takes other inputs than {model.bundle.path}: the two cannot be compared")
    truth = Form(f"{path.name}, alone", alone(other))
    differing = _other_files(model.bundle, _files(other.bundle), f"those of {path.name}")
    return _LineUp((truth, bundle_form(model, other.bundle), batched_form(model)), other_files=differing)


def _other_checkpoint(bundle: Bundle, checkpoint: Checkpoint) -> tuple[str, ...]:
    written = bundle.manifest.checkpoint
    if written["sha256"] == checkpoint.sha256:
        return ()
    return (f"the bundle was written from other weights ({written['name']}, sha256 {written['sha256'][:12]} …)",)


def _require_sound_truth(name: str, batch: Sequence[Case], outputs: Sequence[Mapping[str, Array]]) -> None:
    for case, output in zip(batch, outputs, strict=True):
        if not np.isfinite(output[SCORES]).all():
            raise ParityError(f"{name!r}, the truth of this comparison, gives logits that are not finite for {case.id}")


def _files(bundle: Bundle) -> dict[str, Any]:
    """All that decides how samples are fed and answers are read."""
    return {PROCESSOR: bundle.read_json(PROCESSOR), **bundle.text_files()}


def _other_files(bundle: Bundle, wanted: Mapping[str, Any], whose: str) -> str:
    found = _files(bundle)
    names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if not names:
        return ""
    return f"{', '.join(names)}: not {whose}; every form was fed and decoded as this bundle says"


def _files_fault(other_files: str) -> Fault | None:
    """The same logits make another answer where features or letters are others."""
    if not other_files:
        return None
    sentence = "The logits agree, but the bundle does not feed or read its network as the truth does."
    return Fault("files of the bundle", "", f"{sentence} {other_files}.")


def _measure(
    model: Model, recipe: Recipe, forms: Sequence[Form], cases: Cases
) -> tuple[list[Meter], tuple[Rejected, ...]]:
    """Every form on every sample, batch by batch, and what was left out; nothing but numbers and texts is kept."""
    left_out = list(cases.rejected)
    meters = [Meter(form.name, model.decoder, LOGITS["fp32"], recipe.task) for form in forms[1:]]
    compared = 0
    for batch in read_cases(model, cases, left_out):
        compared += len(batch)
        outputs = [form.run(batch) for form in forms]
        _require_sound_truth(forms[0].name, batch, outputs[0])
        for place, meter in enumerate(meters, start=1):
            for row, case in enumerate(batch):
                before = outputs[place - 1][row] if place > 1 else None
                meter.add(case.id, outputs[0][row], outputs[place][row], previous=before, reference=case.reference)
    if not compared:
        reason = f"{left_out[0].id}: {left_out[0].reason}" if left_out else "there are no samples"
        raise ParityError(f"nothing was compared: {reason}")
    return meters, tuple(left_out)
