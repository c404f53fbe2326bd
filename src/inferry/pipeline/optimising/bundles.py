"""A bundle with a rewritten graph: everything else is as it was."""

import shutil
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from inferry.core.bundle import MANIFEST, MODEL, REWRITES, Bundle, Manifest, open_bundle, verify, write_manifest
from inferry.core.errors import BundleError, UsageError
from inferry.core.files import to_json_text, write_atomic
from inferry.core.machine import package_version
from inferry.core.specs import TensorSpec
from inferry.pipeline.export import require_replaceable
from inferry.pipeline.optimising.files import weight_files
from inferry.pipeline.optimising.ledger import Entry, Ledger


def open_source(path: Path, output: Path) -> Bundle:
    """The bundle to rewrite, once it is whole and the output may be written.

    Raises:
        UsageError: There is no bundle, or the output is it, lies in it, or is something other than a bundle.
        BundleError: A file is not as the manifest says: it would be signed anew.
    """
    bundle = open_bundle(path)
    if path.resolve() in {output.resolve(), *output.resolve().parents}:
        raise UsageError(f"{output} lies in the bundle itself: choose another output")
    if output.suffix == ".onnx":
        raise UsageError(f"a bundle becomes a bundle: --output names a folder, not {output}")
    require_replaceable(output)
    problems = verify(path).problems
    if problems:
        raise BundleError(f"{path} is not as it was written: {'; '.join(problems)}")
    return bundle


def write_rest(bundle: Bundle, folder: Path, graph: ir.Model, ledger: Ledger) -> Bundle:
    """Complete a folder that holds the rewritten graph: the other files, the ledger, the manifest.

    Args:
        bundle: The old one; its files are copied byte by byte.
        folder: Of the new one.
        graph: The rewritten graph.
        ledger: What was done to it.
    """
    own = {MODEL, REWRITES, *weight_files(ir.load(bundle.model))}
    for name in bundle.manifest.files:
        if name not in own and not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, folder / name)
    (folder / MANIFEST).unlink(missing_ok=True)
    write_atomic(folder / REWRITES, to_json_text({"source": bundle.digest, **_portable(ledger).to_json()}))
    return write_manifest(folder, _describe(bundle.manifest, graph, ledger))


def _portable(ledger: Ledger) -> Ledger:
    """Without the paths of this machine."""
    return replace(
        ledger,
        model=Path(ledger.model.resolve().name),
        output=Path(MODEL),
        entries=tuple(_named(entry) for entry in ledger.entries),
    )


def _named(entry: Entry) -> Entry:
    if entry.failure is None:
        return entry
    folder = entry.failure.folder
    return replace(entry, failure=replace(entry.failure, folder=Path(folder.parent.name, folder.name)))


def _describe(old: Manifest, graph: ir.Model, ledger: Ledger) -> Manifest:
    graph = graph.clone()
    ShapeInferencePass()(graph)
    values = {value.name: value for value in (*graph.graph.inputs, *graph.graph.outputs)}
    tools = {name: version for name in ("inferry", "onnx-ir") if (version := package_version(name))}
    done = ", ".join(dict.fromkeys(ledger.kept)) or "no pass had anything to change"
    return replace(
        old,
        opset=graph.graph.opset_imports.get("", old.opset),
        inputs=tuple(_spec(spec, values[spec.name]) for spec in old.inputs),
        outputs=tuple(_spec(spec, values[spec.name]) for spec in old.outputs),
        tools={**old.tools, **tools},
        notes=(*old.notes, f"the graph was rewritten for {ledger.target}: {done} (see {REWRITES})"),
    )


def _spec(old: TensorSpec, value: ir.Value) -> TensorSpec:
    """As the graph now says; an output that is cut to each row's length keeps the name of the dimension that is cut."""
    dtype = old.dtype if value.dtype is None else str(value.dtype.numpy())
    if value.shape is None or len(value.shape) != len(old.dims):
        return replace(old, dtype=dtype)
    cut = old.dynamic_axes if old.length is not None else ()
    found = [dim if isinstance(dim, int) and axis not in cut else None for axis, dim in enumerate(value.shape)]
    return replace(old, dtype=dtype, dims=tuple(a if b is None else b for a, b in zip(old.dims, found, strict=True)))
