"""The forms of a network that a comparison lines up: each gives the outputs of a batch of samples."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import onnx_ir as ir

from inferry.backends.registry import get_backend
from inferry.core.bundle import MODEL, Bundle
from inferry.core.errors import DatasetError, UsageError
from inferry.core.protocols import Checkpoint, Recipe, SessionOptions
from inferry.core.specs import Array
from inferry.pipeline.comparison.cases import Case
from inferry.pipeline.comparison.hops import SCORES
from inferry.pipeline.comparison.modules import Traced, first_module
from inferry.pipeline.comparison.probing import Side
from inferry.pipeline.execution import collate, planned_axis, separate
from inferry.pipeline.model import Model

BACKEND: Final = "onnxruntime"
_SHOWN: Final = 5
Outputs = Mapping[str, Array]
Sides = tuple[Side, Side]


@dataclass(frozen=True)
class Form:
    """One form of the network.

    Attributes:
        name: For people.
        run: Outputs of each sample of a batch, cut to their true length.
        inside: The two graphs to look into if the step to this form changes the answer, for a batch whose first sample
            shows it, with a folder to write to; None where there is nothing to look into.
        modules: A sentence on the first module of the original that departs, if the two graphs do not; None where the
            original cannot be looked into.
        blind: Why there is nothing to look into; or what it means if no tensor departs when it is looked at.
    """

    name: str
    run: Callable[[Sequence[Case]], Sequence[Outputs]]
    inside: Callable[[Sequence[Case], Path], Sides] | None = None
    modules: Callable[[Case], str] | None = None
    blind: str = ""


def checkpoint_form(model: Model, stack: ExitStack, checkpoint: Checkpoint, recipe: Recipe) -> Form:
    """The graph that this version writes from the checkpoint: the truth where the original network is left out."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="inferry-compare-")))
    _save(recipe, checkpoint, folder / MODEL)
    session = get_backend(BACKEND).open(folder / MODEL, SessionOptions(optimise=False))
    stack.callback(session.close)
    outputs = model.bundle.manifest.outputs

    def run(cases: Sequence[Case]) -> list[Outputs]:
        return [separate(session.run(_inputs(model.bundle, [case])), outputs)[0] for case in cases]

    return Form("graph of the checkpoint", run)


def deployed_forms(model: Model, stack: ExitStack, checkpoint: Checkpoint | None, recipe: Recipe) -> list[Form]:
    """The bundle's graph as it stands in the file, as the runtime rewrites it, and in padded batches.

    Args:
        model: The bundle, opened as it is deployed.
        stack: Closes what is opened here.
        checkpoint: From which the graph can be written again, None if there is none.
        recipe: Writes it.
    """
    written = stack.enter_context(Model(model.bundle, BACKEND, SessionOptions(optimise=False)))

    def inside(cases: Sequence[Case], folder: Path) -> Sides:
        assert checkpoint is not None, "without one this form is the truth"
        _save(recipe, checkpoint, folder / MODEL)
        inputs = _inputs(model.bundle, cases[:1])
        return Side(folder / MODEL, inputs), Side(model.bundle.model, inputs)

    def rewritten(cases: Sequence[Case], _: Path) -> Sides:
        inputs = _inputs(model.bundle, cases[:1])
        return Side(model.bundle.model, inputs), Side(model.bundle.model, inputs, optimise=True)

    return [
        Form("ONNX as written", alone(written), inside, blind=_WRITER),
        Form("optimised", alone(model), rewritten, blind=_FUSION),
        batched_form(model),
    ]


_WRITER: Final = (
    "the bundle's graph computes what the checkpoint's own graph computes, node by node: the difference lies in how the"
    " graph is written, or in the original"
)
_FUSION: Final = (
    "looked at tensor by tensor the difference vanishes: it lies in how the runtime joins several nodes into one"
)
_ELSEWHERE: Final = "these outputs were made elsewhere: there is no graph to look into"


def alone(model: Model) -> Callable[[Sequence[Case]], list[Outputs]]:
    """Each sample by itself, without padding."""
    return lambda cases: [model.run_batch([case.features])[0] for case in cases]


def original_module(model: Model, network: Traced) -> Callable[[Case], str]:
    """For `Form.modules` of the graph as it is written."""

    def first(case: Case) -> str:
        side = Side(model.bundle.model, _inputs(model.bundle, [case]))
        return first_module(network, case.features.inputs, side, SCORES, BACKEND)

    return first


def batched_form(model: Model) -> Form:
    """Several samples together; where they have lengths, padded a quarter beyond the longest."""

    def inside(cases: Sequence[Case], _: Path) -> Sides:
        single = _inputs(model.bundle, cases[:1])
        several = _inputs(model.bundle, cases, _beyond(cases))
        return Side(model.bundle.model, single, optimise=True), Side(model.bundle.model, several, optimise=True)

    def run(cases: Sequence[Case]) -> list[dict[str, Array]]:
        return model.run_batch([case.features for case in cases], _beyond(cases))

    name = "batched" if planned_axis(model.bundle.manifest.inputs) is None else "batched and padded"
    return Form(name, run, inside, blind=_FUSION)


def bundle_form(model: Model, other: Bundle) -> Form:
    """This bundle, each sample alone, to be compared with another bundle."""

    def inside(cases: Sequence[Case], _: Path) -> Sides:
        inputs = _inputs(model.bundle, cases[:1])
        return Side(other.model, inputs), Side(model.bundle.model, inputs)

    return Form(f"{model.bundle.path.name}, alone", alone(model), inside, blind=_FUSION)


def folder_form(folder: Path, ids: frozenset[str], wanted: Sequence[str]) -> tuple[Form, tuple[str, ...]]:
    """Outputs made elsewhere: ``<id>.npy``, the logits, or ``<id>.npz`` that holds them under ``logits``.

    A ``/`` in an id is a ``_`` in the file's name.

    Args:
        folder: With the files.
        ids: Of the whole data set.
        wanted: Ids of the samples that are compared.

    Returns:
        The form, and a sentence about the files that belong to no sample, if there are any.

    Raises:
        UsageError: Two ids lead to one file name.
        DatasetError: A wanted sample has no file, or two; lists them.
    """
    names = {id_: id_.replace("/", "_") for id_ in ids}
    if len(set(names.values())) < len(names):
        raise UsageError(f"{folder}: two ids of the data set lead to the same file name, once / has become _")
    present = sorted(folder.iterdir())
    known = {f"{name}{suffix}" for name in names.values() for suffix in (".npy", ".npz")}
    files = {path.stem: path for path in present if path.name in known}
    missing = sorted(f"{names[id_]}.npy" for id_ in wanted if names[id_] not in files)
    if missing:
        raise DatasetError(
            f"{folder} lacks the outputs of {len(missing)} of {len(wanted)} samples: {_first_few(missing)}"
        )
    twice = [path.name for path in present if path.name in known and files[path.stem] != path]
    if twice:
        raise DatasetError(f"{folder} has a .npz besides {_first_few(twice)}: which of the two is meant?")
    superfluous = [path.name for path in present if path.name not in known]

    def run(cases: Sequence[Case]) -> list[Outputs]:
        return [{SCORES: _read_logits(files[names[case.id]])} for case in cases]

    notes = (f"of {folder}, these belong to no sample: {_first_few(superfluous)}",) if superfluous else ()
    return Form(f"outputs of {folder.resolve().name}", run, blind=_ELSEWHERE), notes


def _first_few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" … ({len(names):,} in all)" if len(names) > _SHOWN else "")


def _read_logits(path: Path) -> Array:
    try:
        with path.open("rb") as file:
            value = np.load(file, allow_pickle=False)
            logits: Array = value[SCORES] if isinstance(value, np.lib.npyio.NpzFile) else value
    except KeyError as error:
        raise DatasetError(f"{path} holds {', '.join(value) or 'nothing'}; expected {SCORES}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    except (ValueError, EOFError, BadZipFile) as error:
        # numpy's own words advise to load it as a pickle, which runs code.
        raise DatasetError(f"{path} cannot be read as an array of numbers; expected what numpy.save writes") from error
    if logits.dtype.kind != "f":
        raise DatasetError(f"{path} holds {logits.dtype}; expected floating point numbers")
    return logits


def _beyond(cases: Sequence[Case]) -> int:
    longest = max(case.features.length for case in cases)
    return longest + longest // 4 + 1


def _inputs(bundle: Bundle, cases: Sequence[Case], pad_to: int | None = None) -> dict[str, Array]:
    return collate([case.features for case in cases], bundle.manifest.inputs, pad_to)


def _save(recipe: Recipe, checkpoint: Checkpoint, path: Path) -> None:
    model: Any = recipe.build(checkpoint).model
    ir.save(model, path, external_data=f"{path.name}.data")
