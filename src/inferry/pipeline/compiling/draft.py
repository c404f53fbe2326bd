"""What is to be compiled: shapes, commands and configuration files, before anything is written or run."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.ascend.atc_problem import Problem
from inferry.ascend.atc_soc import EXAMPLES, soc_family
from inferry.ascend.atc_write import PRECISIONS, write_command
from inferry.ascend.gear_set import GearKind, GearSet, require_few
from inferry.core.bundle import MODEL, Bundle
from inferry.core.compiled import Unit
from inferry.core.errors import UsageError
from inferry.core.files import sha256_of
from inferry.core.graph_facts import GraphFacts
from inferry.core.specs import TensorSpec
from inferry.pipeline.compiling.precision import PrecisionDetails, precision_of
from inferry.pipeline.gears import plan_gears
from inferry.pipeline.picture_input import CONFIG, picture_input
from inferry.planning.plan import ShapePlan

STEM: Final = "model"
"""Of the om that holds all gears."""

FUSION_FILE: Final = "fusion_switch.cfg"
_DIGITS: Final = 12


@dataclass(frozen=True)
class CompileOptions:
    """How a bundle is compiled.

    Attributes:
        soc: The chip: ``Ascend310P3``.
        backend: Whose compiler.
        precision: ``fp32`` (as the graph stands), ``fp16`` (wherever the chip can) or ``mixed`` (fp16 but for the nodes
            whose numbers leave its range, as measured).
        plan: Its buckets are the shapes.
        sizes: Of symbolic dimensions, by name.
        batch_sizes: Instead of the plan's.
        gears: Instead of plan, sizes and batch sizes.
        split: One om for each gear instead of one with all gears.
        details: What is said of single nodes and operators.
        fusion_off: Fusion passes of atc that are switched off.
        fp16_inputs: Whether the om takes float inputs in half precision, so that the caller converts them.
        aipp: Whether the om takes pictures as they are, uint8, and normalises them itself.
        data: The data set on which half precision is measured; None for the family's probes.
        limit: Most samples of it, None for 32.
        kind: Its layout, None to recognise it.
    """

    soc: str
    backend: str = "ascend"
    precision: str = "fp32"
    plan: ShapePlan | None = None
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    batch_sizes: Sequence[int] = ()
    gears: GearSet | None = None
    split: bool = False
    details: PrecisionDetails = field(default_factory=PrecisionDetails)
    fusion_off: tuple[str, ...] = ()
    fp16_inputs: bool = False
    aipp: bool = False
    data: Path | None = None
    limit: int | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Draft:
    """What will be written and run.

    Attributes:
        gears: All shapes.
        units: What is compiled, nothing of it yet.
        files: Texts of the configuration files that the commands name, by file name.
        inputs: As the om will take them.
        model_sha256: Of the ONNX file.
        key: Name of the artifact: all that decides the om is in it.
        notes: What a user should know of the inputs, a sentence each.
    """

    gears: GearSet
    units: tuple[Unit, ...]
    files: Mapping[str, str]
    inputs: tuple[TensorSpec, ...]
    model_sha256: str
    key: str
    notes: tuple[str, ...] = ()


def make_draft(
    bundle: Bundle, graph: GraphFacts, options: CompileOptions, model: str, measured: Collection[str] = ()
) -> Draft:
    """Decide on everything.

    Args:
        bundle: Its graph is compiled.
        graph: Facts of that graph.
        options: How.
        model: The ONNX file, seen from where atc will run.
        measured: Further nodes that stay in float32.

    Raises:
        UsageError: An option is unknown, sizes or a node are missing, or AIPP cannot do the bundle's preprocessing.
        ParityError: AIPP would normalise otherwise than the bundle's preprocessing.
    """
    gears = options.gears or plan_gears(
        bundle.manifest, plan=options.plan, sizes=options.sizes, batch_sizes=tuple(options.batch_sizes) or None
    )
    require_few(gears.gears, options.soc)
    inputs, extra, files, notes = _inputs(bundle, options, gears)
    settings = precision_of(options.precision, options.details, graph, measured, options.soc)
    extra, files = {**settings.options, **extra}, {**settings.files, **files}
    if options.fusion_off:
        # In this form of the file a name is found among all passes; the JSON form wants to know of which kind it is.
        files[FUSION_FILE] = "".join(f"{name}:off\n" for name in options.fusion_off)
        extra["fusion_switch_file"] = FUSION_FILE
    units = tuple(
        Unit(
            stem,
            tuple({"batch": gear.batch, "sizes": dict(gear.sizes)} for gear in part.gears),
            write_command(part, model=model, stem=stem, soc=options.soc, precision=options.precision, extra=extra),
        )
        for stem, part in _parts(gears, split=options.split)
    )
    sha256 = sha256_of(bundle.model)
    return Draft(gears, units, files, inputs, sha256, _key(bundle, options, sha256, units, files), notes)


def draft_problems(graph: GraphFacts, draft: Draft) -> tuple[Problem, ...]:
    """What atc would refuse, of all commands, each problem once."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, draft.files)
        found = [lint(parse_command(unit.command), graph, None, folder=folder) for unit in draft.units]
    return tuple(dict.fromkeys(problem for problems in found for problem in problems))


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write text files into a folder."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def require_known(options: CompileOptions) -> None:
    """Refuse names that mean nothing, before the graph is read.

    Raises:
        UsageError: The backend, the chip or the precision is unknown, or two options exclude each other.
    """
    if options.backend == "onnxruntime":
        raise UsageError("onnxruntime needs no compiling: it runs the bundle as it is, with `inferry infer`")
    if options.backend != "ascend":
        raise UsageError(f"there is no compiler for the backend {options.backend!r}; there is one for ascend")
    if soc_family(options.soc) is None:
        found = f"the chip {options.soc!r} is not known" if options.soc else "no chip is given"
        raise UsageError(
            f"{found}: --soc takes Ascend and the name that `npu-smi info` prints, such as {', '.join(EXAMPLES)}"
        )
    if options.aipp and options.fp16_inputs:
        raise UsageError("--aipp and --fp16-inputs exclude each other: with AIPP the om takes uint8")
    if options.fp16_inputs and options.precision == "fp32":
        raise UsageError("--fp16-inputs rounds what goes in, which is not fp32: ask for --precision fp16 or mixed")
    if options.precision not in PRECISIONS:
        raise UsageError(f"the precision {options.precision!r} is not known; there are {', '.join(PRECISIONS)}")


def _parts(gears: GearSet, *, split: bool) -> list[tuple[str, GearSet]]:
    if not split:
        return [(STEM, gears)]
    return [(f"{STEM}_{part.gears[0].name}", part) for part in gears.split()]


def _inputs(
    bundle: Bundle, options: CompileOptions, gears: GearSet
) -> tuple[tuple[TensorSpec, ...], dict[str, str], dict[str, str], tuple[str, ...]]:
    """The inputs as the om takes them, with the options and files that make it so, and what was proven of it."""
    inputs = bundle.manifest.inputs
    if options.aipp:
        picture = picture_input(bundle, any_size=gears.kind is GearKind.IMAGE)
        return (picture.spec,), {"insert_op_conf": CONFIG}, {CONFIG: picture.config}, (picture.proof,)
    if options.fp16_inputs:
        halved, names = _halved(inputs)
        return halved, {"input_fp16_nodes": names}, {}, ()
    return inputs, {}, {}, ()


def _halved(inputs: Sequence[TensorSpec]) -> tuple[tuple[TensorSpec, ...], str]:
    """The inputs with float32 as float16, and the names of these."""
    names = [spec.name for spec in inputs if spec.dtype == "float32"]
    halved = tuple(replace(spec, dtype="float16") if spec.name in names else spec for spec in inputs)
    return halved, ";".join(names)


def _key(bundle: Bundle, options: CompileOptions, sha256: str, units: Sequence[Unit], files: Mapping[str, str]) -> str:
    """Chip, precision, and a hash over the weights, the commands and what their files say."""
    # External weights lie beside the graph under its name.
    weights = sorted(entry.sha256 for name, entry in bundle.manifest.files.items() if name.startswith(f"{MODEL}."))
    decides = [sha256, weights, [unit.command for unit in units], sorted(files.items())]
    digest = hashlib.sha256(json.dumps(decides).encode()).hexdigest()
    return f"{options.soc}-{options.precision}-{digest[:_DIGITS]}"
