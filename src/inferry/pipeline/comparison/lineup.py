"""What a bundle is compared with: the forms of its network, one after the other, the truth first."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inferry.core.bundle import Bundle, open_bundle
from inferry.core.errors import UsageError
from inferry.core.protocols import Checkpoint, ExportOptions, Recipe, SessionOptions
from inferry.models.registry import read_checkpoint
from inferry.pipeline.comparison.cases import Cases
from inferry.pipeline.comparison.contents import content_faults, contents_of_bundle, contents_of_checkpoint
from inferry.pipeline.comparison.fault import Fault
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
from inferry.pipeline.comparison.hops import Hop
from inferry.pipeline.comparison.modules import Traced
from inferry.pipeline.model import Model


@dataclass(frozen=True)
class Against:
    """What a bundle is compared with; see `compare`.

    Attributes:
        checkpoint: Path or preset name: the original network is the truth.
        bundle: Another bundle: it alone is the truth.
        outputs: A folder of outputs made elsewhere.
        reference: Whether the original network is run.
        options: How the checkpoint is read, where it is not as the bundle says: files may lie elsewhere by now.
    """

    checkpoint: str | Path | None = None
    bundle: Path | None = None
    outputs: Path | None = None
    reference: bool = True
    options: ExportOptions = ExportOptions()  # noqa: RUF009 -- frozen


@dataclass(frozen=True)
class LineUp:
    """What is compared.

    Attributes:
        forms: The truth first.
        skipped: Hops that cannot be measured, with the reason.
        notes: What a reader of the numbers should know.
        signature: Of the original.
        faults: What of the bundle no form shows: see `inferry.pipeline.comparison.contents`.
    """

    forms: tuple[Form, ...]
    skipped: tuple[Hop, ...] = ()
    notes: tuple[str, ...] = ()
    signature: dict[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def line_up(model: Model, recipe: Recipe, against: Against, cases: Cases, stack: ExitStack) -> LineUp:
    """The forms that a bundle is compared in.

    Args:
        model: The bundle, opened as it is deployed.
        recipe: Of its family.
        against: What to compare with.
        cases: The samples.
        stack: Closes what is opened here.

    Raises:
        UsageError: The other bundle takes other inputs, or there is no such checkpoint.
        CheckpointError: The checkpoint cannot be read.
        DatasetError: An output that was made elsewhere is missing.
        MissingDependencyError: The original is wanted and the ``reference`` extra is not installed.
    """
    if against.bundle is not None:
        return _with_bundle(model, against.bundle, stack)
    if against.outputs is None:
        return _own_hops(model, recipe, against, stack)
    form, notes = folder_form(against.outputs, cases.ids, [sample.id for sample in cases.samples])
    if against.checkpoint is None:
        before = LineUp((Form(f"{model.bundle.path.name}, alone", alone(model)),), (), _uncompared_parts(model.bundle))
    else:
        before = _with_checkpoint(model, recipe, against, stack)
    return replace(before, forms=(*before.forms, form), notes=(*notes, *before.notes))


def _own_hops(model: Model, recipe: Recipe, against: Against, stack: ExitStack) -> LineUp:
    if against.checkpoint is not None:
        return _with_checkpoint(model, recipe, against, stack)
    forms = tuple(deployed_forms(model, stack, None, recipe))
    skipped = Hop(forms[0].name, skipped="there is no checkpoint to compare it with")
    return LineUp(forms, (skipped,), _uncompared_parts(model.bundle))


def _with_checkpoint(model: Model, recipe: Recipe, against: Against, stack: ExitStack) -> LineUp:
    assert against.checkpoint is not None, "the caller has one"
    options = ExportOptions(**{**model.bundle.manifest.options, **against.options.given})
    checkpoint = read_checkpoint(recipe, against.checkpoint, options)
    notes = _other_checkpoint(model.bundle, checkpoint)
    faults = tuple(content_faults(model.bundle, contents_of_checkpoint(checkpoint, recipe)))
    forms = tuple(deployed_forms(model, stack, checkpoint, recipe))
    if not against.reference:
        written = checkpoint_form(model, stack, checkpoint, recipe)
        skipped = Hop("original", skipped="left out by --no-reference")
        return LineUp((written, *forms), (skipped,), notes, faults=faults)
    network = recipe.reference(checkpoint)
    if isinstance(network, Traced):
        forms = (replace(forms[0], modules=original_module(model, network)), *forms[1:])
    original = Form("original alone", lambda batch: [network.infer(case.features.inputs) for case in batch])
    return LineUp((original, *forms), (), notes, dict(network.signature()), faults)


def _with_bundle(model: Model, path: Path, stack: ExitStack) -> LineUp:
    other = stack.enter_context(Model(open_bundle(path), BACKEND, SessionOptions()))
    found, wanted = other.bundle.manifest, model.bundle.manifest
    if [spec.to_json() for spec in found.inputs] != [spec.to_json() for spec in wanted.inputs]:
        raise UsageError(f"{path} takes other inputs than {model.bundle.path}: the two cannot be compared")
    truth = Form(f"{path.name}, alone", alone(other))
    faults = tuple(content_faults(model.bundle, contents_of_bundle(other.bundle)))
    return LineUp((truth, bundle_form(model, other.bundle), batched_form(model)), faults=faults)


def _uncompared_parts(bundle: Bundle) -> tuple[str, ...]:
    files = bundle.manifest.parts.values()
    return tuple(
        f"{file} was not compared: there is no checkpoint and no other bundle to compare it with" for file in files
    )


def _other_checkpoint(bundle: Bundle, checkpoint: Checkpoint) -> tuple[str, ...]:
    written = bundle.manifest.checkpoint
    if written["sha256"] == checkpoint.sha256:
        return ()
    return (f"the bundle was written from other weights ({written['name']}, sha256 {written['sha256'][:12]} …)",)
