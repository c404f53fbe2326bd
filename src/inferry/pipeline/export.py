"""Checkpoint to bundle: read, write the graph, check it, and only then let the bundle appear."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import onnx_ir as ir

from inferry.core.bundle import MODEL, PARITY, PROCESSOR, Bundle, Manifest, open_bundle, write_manifest
from inferry.core.errors import BundleError, UsageError
from inferry.core.files import atomic_folder, to_json_text, write_atomic
from inferry.core.machine import package_version
from inferry.core.protocols import Checkpoint, Network, Recipe, SessionOptions
from inferry.models.registry import get_recipe, locate_checkpoint
from inferry.pipeline.model import Model
from inferry.pipeline.parity import ParityReport, self_check

_EXTERNAL_ABOVE = 100_000_000
"""Bytes of weights above which they go into a file of their own: protobuf ends at 2 GB, viewers much sooner."""


@dataclass(frozen=True)
class Export:
    """A written bundle and how it compares.

    Attributes:
        bundle: The bundle at its final place.
        parity: What was compared.
        nodes: Number of nodes in the graph.
        seconds: Wall time of the whole export.
    """

    bundle: Bundle
    parity: ParityReport
    nodes: int
    seconds: float


def export(family: str, checkpoint: str | Path, output: str | Path, *, reference: bool = True) -> Bundle:
    """Write a verified bundle; see `export_with_report`."""
    return export_with_report(family, checkpoint, output, reference=reference).bundle


def export_with_report(family: str, checkpoint: str | Path, output: str | Path, *, reference: bool = True) -> Export:
    """Write a verified bundle.

    Args:
        family: ``wav2vec2``, ``data2vec-audio``, ``deepspeech2`` …
        checkpoint: A path, or the name of a preset, which is fetched once.
        output: The bundle's folder; an older bundle there is replaced once the new one is whole.
        reference: Compare with the original network (needs the ``reference`` extra).

    Raises:
        UsageError: Unknown family, no such checkpoint, or `output` is something other than a bundle.
        CheckpointError: The checkpoint cannot be read safely and completely.
        ParityError: The graph does not give what the original gives; no bundle appears.
    """
    start = perf_counter()
    recipe = get_recipe(family)
    target = Path(output)
    _require_replaceable(target)
    trained = recipe.read(locate_checkpoint(recipe, checkpoint))
    network = recipe.build(trained)
    with atomic_folder(target) as folder:
        _write_files(folder, trained, network)
        draft = write_manifest(folder, _describe(recipe, trained, network))
        with Model(draft, "onnxruntime", SessionOptions()) as model:
            parity = self_check(model, recipe, trained, reference=reference)
        parity.require()
        write_atomic(folder / PARITY, to_json_text(parity.to_json()))
        write_manifest(folder, draft.manifest)
    nodes = len(list(network.model.graph))
    return Export(open_bundle(target), parity, nodes, perf_counter() - start)


def _require_replaceable(target: Path) -> None:
    """Only an older bundle or an empty folder may be replaced."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        open_bundle(target)
    except UsageError as error:
        raise UsageError(f"{target} exists and is not a bundle: choose another --output") from error
    except BundleError:
        return


def _write_files(folder: Path, trained: Checkpoint, network: Network) -> None:
    weights = sum(tensor.nbytes for tensor in trained.tensors.values())
    external = f"{MODEL}.data" if weights > _EXTERNAL_ABOVE else None
    ir.save(network.model, folder / MODEL, external_data=external)
    write_atomic(folder / PROCESSOR, to_json_text(dict(trained.processor)))
    for name, text in trained.files.items():
        write_atomic(folder / name, text)


def _describe(recipe: Recipe, trained: Checkpoint, network: Network) -> Manifest:
    tools = {name: version for name in ("inferry", "onnx", "onnx-ir", "numpy") if (version := package_version(name))}
    return Manifest(
        family=recipe.family,
        task=recipe.task,
        opset=network.opset,
        inputs=network.inputs,
        outputs=network.outputs,
        checkpoint={"name": trained.path.name, "sha256": trained.sha256},
        tools=tools,
        files={},
        notes=trained.notes,
    )
