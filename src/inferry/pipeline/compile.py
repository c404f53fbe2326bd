"""Bundle to compiled artifact: shapes, command, linter, compiler."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import onnx_ir as ir

from inferry.ascend.atc_log import Reading
from inferry.ascend.atc_problem import Problem
from inferry.ascend.atc_write import write_script
from inferry.ascend.gear_set import GearSet
from inferry.backends.ascend_model import Origin, write_origin
from inferry.core.bundle import Bundle
from inferry.core.compiled import CACHE, FILE, Compiled, read_compiled, renew, write_compiled
from inferry.core.errors import BundleError, UsageError
from inferry.core.files import atomic_folder, to_json_text
from inferry.core.machine import package_version
from inferry.passes.graph_facts import graph_facts
from inferry.pipeline.compiling.draft import (
    CompileOptions,
    Draft,
    draft_problems,
    make_draft,
    require_known,
    write_files,
)
from inferry.pipeline.compiling.precision import OPERATOR
from inferry.pipeline.compiling.running import LOG, run_unit
from inferry.pipeline.diagnosing.cann import cann_version
from inferry.pipeline.half_precision import Drift, half_drift, mixed_drift

__all__ = ["SCRIPT", "Compilation", "CompileOptions", "compile_bundle"]

SCRIPT: Final = "atc.sh"
DRIFT: Final = "drift.json"
FAILED_LOG: Final = "atc.failed.log"
"""What atc printed when it failed and an earlier om stayed."""

_IDLE: Final = "atc is not on the PATH: nothing was compiled again, and what was compiled before stays"
_RENEWED: Final = "another one was compiled after this one; where both fit, `inferry infer` runs this one now"
_FROM_CACHE: Final = "../../../model.onnx"
"""The graph, seen from an artifact's folder: atc takes no spaces in paths, so none but relative ones are written."""


@dataclass(frozen=True)
class Compilation:
    """What came of it.

    Attributes:
        compiled: The artifact; nothing of it was written where there are problems.
        gears: Its shapes.
        problems: What atc would refuse.
        ran: Whether atc ran now.
        cached: Whether it was there already.
        kept: Whether atc failed, and what it made at an earlier time stays in its place.
        readings: What atc's output says, of each unit that ran.
        notes: What a user should know, a sentence each.
        drift: How far half precision moves the answers, emulated; None where it was not measured.
    """

    compiled: Compiled
    gears: GearSet
    problems: tuple[Problem, ...] = ()
    ran: bool = False
    cached: bool = False
    kept: bool = False
    readings: tuple[Reading, ...] = ()
    notes: tuple[str, ...] = ()
    drift: Drift | None = None

    @property
    def failed(self) -> bool:
        """Whether atc would refuse, or has refused, or has claimed a success that left no om."""
        return bool(self.problems) or (self.ran and not self.compiled.is_complete)

    @property
    def exit_code(self) -> int:
        """Of atc where it failed; 1 where the linter found something, or atc ended well without an om."""
        codes = [unit.returncode for unit in self.compiled.units if self.ran and unit.returncode]
        return codes[0] if codes else int(self.failed)

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "ok": not self.failed,
            "compiled": self.compiled.is_complete and not self.problems,
            "folder": str(self.compiled.folder),
            "ran": self.ran,
            "cached": self.cached,
            "kept": self.kept,
            "problems": [_problem(one) for one in self.problems],
            "errors": [_problem(one) for reading in self.readings for one in reading.problems],
            "notes": list(self.notes),
            "drift": None if self.drift is None else self.drift.to_json(),
            "artifact": self.compiled.to_json(),
        }


def compile_bundle(
    bundle: Bundle,
    options: CompileOptions,
    *,
    folder: Path | None = None,
    model: str = _FROM_CACHE,
    run: bool = True,
    force: bool = False,
    emulate: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Compilation:
    """Compile a bundle's graph, or write what compiles it where there is no compiler.

    Args:
        bundle: Opened.
        options: How.
        folder: Where to write; it must exist. None for the bundle's cache, where an artifact that is already there is
            given back. There an om gives its place to another one only, not to a failure.
        model: The ONNX file, seen from `folder`.
        run: Whether to run atc where it is on the PATH.
        force: Compile again what is in the cache.
        emulate: Whether to measure on this processor what fp16 does to the answers; for mixed it is always measured.
        tell: Called before each command runs: it may take long, and its output goes into a file.

    Raises:
        UsageError: An option is unknown, sizes are missing, or AIPP cannot do the bundle's preprocessing.
        ParityError: AIPP would normalise otherwise than the bundle's preprocessing.
    """
    require_known(options)
    if folder is None:
        _require_measured(options, emulate=emulate)
    loaded = ir.load(bundle.model)
    graph = graph_facts(loaded)
    # First of all, so that what cannot be meant is refused before anything is measured.
    draft = make_draft(bundle, graph, options, model)
    drift = _drift(bundle, loaded, options, emulate=emulate)
    if drift and options.precision == "mixed":
        draft = make_draft(bundle, graph, options, model, set(drift.keep) - set(_kept(loaded, options)))
    target = folder or bundle.path / CACHE / options.backend / draft.key
    artifact = _artifact(bundle, options, draft, target)
    planned = Compilation(artifact, draft.gears, notes=(*draft.notes, *_notes(bundle, options, drift)), drift=drift)
    if problems := draft_problems(graph, draft):
        return replace(planned, problems=problems)
    atc = shutil.which("atc") if run else None
    if folder is not None:
        return _make(planned, draft.files, folder, atc, tell)
    return _in_cache(planned, draft.files, atc, tell, force=force)


def _require_measured(options: CompileOptions, *, emulate: bool) -> None:
    """Refuse a data set that nobody would look at; a pack has one for other reasons."""
    given = options.data is not None or options.limit is not None or options.kind is not None
    measured = options.precision == "mixed" or (options.precision == "fp16" and emulate)
    if given and (options.details.mix_list or not measured):
        raise UsageError(
            "--data and what belongs to it say on what half precision is measured, and nothing is measured here: leave"
            " them out, or ask for --precision fp16 or mixed"
        )


def _drift(bundle: Bundle, model: ir.Model, options: CompileOptions, *, emulate: bool) -> Drift | None:
    """What half precision does to the answers, with what stays in float32; for mixed, this finds that first."""
    if options.details.mix_list:
        return None
    if options.precision == "fp32" or not (emulate or options.precision == "mixed"):
        return None
    measure = mixed_drift if options.precision == "mixed" else half_drift
    kept = _kept(model, options)
    return measure(bundle, kept, data=options.data, limit=options.limit, kind=options.kind, aipp=options.aipp)


def _kept(model: ir.Model, options: CompileOptions) -> list[str]:
    """Names of the nodes that the user wants in float32."""
    wanted = set(options.details.keep_fp32)
    return [node.name for node in model.graph if node.name and wanted & {node.name, f"{OPERATOR}{node.op_type}"}]


def _cached(target: Path) -> Compiled | None:
    """The finished artifact at its place, if there is one and its files are whole; a broken one is made anew."""
    try:
        found = read_compiled(target) if (target / FILE).is_file() else None
    except BundleError:
        return None
    return found if found is not None and found.damage() is None else None


def _artifact(bundle: Bundle, options: CompileOptions, draft: Draft, target: Path) -> Compiled:
    return Compiled(
        folder=target,
        backend=options.backend,
        device=options.soc,
        precision=options.precision,
        model_sha256=draft.model_sha256,
        bundle=bundle.digest,
        inputs=draft.inputs,
        outputs=bundle.manifest.outputs,
        units=draft.units,
        tools={"inferry": package_version("inferry") or "unknown"},
        aipp=options.aipp,
    )


def _in_cache(
    planned: Compilation, files: Mapping[str, str], atc: str | None, tell: Callable[[str], None], *, force: bool
) -> Compilation:
    """What is there, or what is made in a sibling folder that takes its place: a failure does not take an om's."""
    target = planned.compiled.folder
    before = _cached(target)
    if before is not None and (atc is None or not force):
        idle = (_IDLE,) if force else ()
        # The last command decides what runs, whether or not it had anything to do.
        renewed = (_RENEWED,) if renew(before) else ()
        return replace(planned, compiled=before, cached=True, notes=(*planned.notes, *idle, *renewed))
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent) as name:
        made = _make(planned, files, Path(name), atc, tell)
        failed = made.failed  # Asked before the folder is named that still holds the earlier om.
        made = replace(made, compiled=replace(made.compiled, folder=target))
        if before is not None and failed:
            shutil.copyfile(Path(name) / LOG, target / FAILED_LOG)
            return replace(made, kept=True)
        with atomic_folder(target) as finished:
            for file in Path(name).iterdir():
                file.replace(finished / file.name)
    return made


def _make(
    planned: Compilation, files: Mapping[str, str], folder: Path, atc: str | None, tell: Callable[[str], None]
) -> Compilation:
    """Write everything into a folder, and run atc where there is one, unit by unit up to the first that fails."""
    compiled = replace(planned.compiled, folder=folder)
    described = {} if planned.drift is None else {DRIFT: to_json_text(planned.drift.to_json())}
    write_files(folder, {**files, **described, SCRIPT: write_script([unit.command for unit in compiled.units])})
    (folder / SCRIPT).chmod(0o755)
    units, readings = list(compiled.units), []
    for index, unit in enumerate(units if atc is not None else ()):
        tell(f"atc compiles {unit.stem}; what it prints goes to {folder / LOG}")
        done = run_unit(unit, folder, str(atc))
        units[index] = done.unit
        readings.append(done.reading)
        if done.unit.om is None:
            break
        # What the om was made from: it alone says what may be padded and what is to be cut.
        write_origin(folder / done.unit.om, Origin(compiled.inputs, compiled.outputs, compiled.precision))
    tools = dict(compiled.tools)
    if readings and (version := cann_version()):
        tools["cann"] = version
    compiled = replace(compiled, units=tuple(units), tools=tools)
    write_compiled(compiled)
    return replace(planned, compiled=compiled, ran=atc is not None, readings=tuple(readings))


def _notes(bundle: Bundle, options: CompileOptions, drift: Drift | None) -> Iterator[str]:
    if bundle.manifest.parts:
        yield f"{', '.join(bundle.manifest.parts)}: not compiled, runs on ONNX Runtime while the inputs are made"
    if options.details.mix_list:
        yield "atc's own lists of operators decide what is fp16; they are not public, so nothing was emulated"
    if drift is not None and (options.details.op_precision or options.details.dtypes):
        yield "the emulation knows nothing of --op-precision and --dtypes: what they change was not measured"
    if options.aipp and options.precision == "fp32":
        yield "AIPP hands the network its pictures in half precision; all that follows is fp32"
    if drift is not None and options.data is None:
        yield "half precision was measured on the family's probes only, not on your own samples (--data)"


def _problem(one: Problem) -> dict[str, str]:
    return {"code": one.code, "found": one.found, "fix": one.fix}
