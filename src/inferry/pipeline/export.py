"""Checkpoint to bundle: read, write the graph, check it, and only then let the bundle appear."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import onnx_ir as ir

from inferry.core.bundle import MODEL, PARITY, PROCESSOR, Bundle, Manifest, open_bundle, part_file, write_manifest
from inferry.core.errors import BundleError, UsageError
from inferry.core.files import atomic_folder, to_json_text, write_atomic
from inferry.core.machine import package_version
from inferry.core.protocols import Checkpoint, ExportOptions, Network, Recipe, SessionOptions
from inferry.models.registry import get_recipe, read_checkpoint
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
        nodes: Number of nodes in all its graphs.
        seconds: Wall time of the whole export.
    """

    bundle: Bundle
    parity: ParityReport
    nodes: int
    seconds: float


def export(
    family: str,
    checkpoint: str | Path,
    output: str | Path,
    *,
    reference: bool = True,
    image_size: int | None = None,
    tokenizer: str | Path | None = None,
    detector: str | Path | None = None,
) -> Bundle:
    """Write a verified bundle; see `export_with_report`, and `ExportOptions` for what only some families take."""
    options = ExportOptions(image_size, *(None if one is None else str(one) for one in (tokenizer, detector)))
    return export_with_report(family, checkpoint, output, options, reference=reference).bundle


def export_with_report(
    family: str,
    checkpoint: str | Path,
    output: str | Path,
    options: ExportOptions | None = None,
    *,
    reference: bool = True,
) -> Export:
    """Write a verified bundle.

    Args:
        family: ``wav2vec2``, ``data2vec-audio``, ``deepspeech2`` …
        checkpoint: A path, or the name of a preset, which is fetched once.
        output: The bundle's folder; an older bundle there is replaced once the new one is whole.
        options: What the family leaves to the user.
        reference: Compare with the original network (needs the ``reference`` extra).

    Raises:
        UsageError: Unknown family or option, no such checkpoint, or `output` is something other than a bundle.
        CheckpointError: The checkpoint cannot be read safely and completely.
        ParityError: The graph does not give what the original gives; no bundle appears.
    """
    start = perf_counter()
    recipe = get_recipe(family)
    target = Path(output)
    require_replaceable(target)
    options = options or ExportOptions()
    trained = read_checkpoint(recipe, checkpoint, options)
    network = recipe.build(trained)
    parts = {name: recipe.parts[name].build(part) for name, part in trained.parts.items()}
    with atomic_folder(target) as folder:
        _write_graph(folder / MODEL, trained, network)
        for name, part in parts.items():
            _write_graph(folder / part_file(name), trained.parts[name], part)
        _write_texts(folder, trained)
        draft = write_manifest(folder, _describe(recipe, trained, network, options))
        with Model(draft, "onnxruntime", SessionOptions()) as model:
            parity = self_check(model, recipe, trained, reference=reference)
        parity.require()
        write_atomic(folder / PARITY, to_json_text(parity.to_json()))
        write_manifest(folder, draft.manifest)
    nodes = sum(len(list(one.model.graph)) for one in (network, *parts.values()))
    return Export(open_bundle(target), parity, nodes, perf_counter() - start)


def require_replaceable(target: Path) -> None:
    """Only an older bundle or an empty folder may be replaced.

    Raises:
        UsageError: It is something else.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        open_bundle(target)
    except UsageError as error:
        raise UsageError(f"{target} exists and is not a bundle: choose another --output") from error
    except BundleError:
        return


def _write_graph(path: Path, trained: Checkpoint, network: Network) -> None:
    weights = sum(tensor.nbytes for tensor in trained.tensors.values())
    ir.save(network.model, path, external_data=f"{path.name}.data" if weights > _EXTERNAL_ABOVE else None)


def _write_texts(folder: Path, trained: Checkpoint) -> None:
    write_atomic(folder / PROCESSOR, to_json_text(dict(trained.processor)))
    for name, text in trained.files.items():
        write_atomic(folder / name, text)


def _describe(recipe: Recipe, trained: Checkpoint, network: Network, options: ExportOptions) -> Manifest:
    tools = {name: version for name in ("inferry", "onnx", "onnx-ir", "numpy") if (version := package_version(name))}
    return Manifest(
        family=recipe.family,
        task=recipe.task,
        opset=network.opset,
        inputs=network.inputs,
        outputs=network.outputs,
        checkpoint=origin(trained),
        tools=tools,
        files={},
        notes=trained.notes,
        parts={name: part_file(name) for name in trained.parts},
        options=options.given,
    )


def origin(trained: Checkpoint) -> dict[str, str]:
    """What a bundle says of where its weights came from."""
    parts = {f"{name} {key}": value for name, part in trained.parts.items() for key, value in origin(part).items()}
    return {"name": trained.path.name, "sha256": trained.sha256, **parts}
