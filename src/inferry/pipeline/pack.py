"""Bundle and data set to a pack: one folder for a machine that has CANN and nothing of ours."""

import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from inferry.ascend.gear_set import Gear, GearSet
from inferry.ascend.job_rules import FILE_MODE, FOLDER_MODE, listing, path_problems
from inferry.ascend.pack_readme import readme_text
from inferry.ascend.pack_script import CHECKSUMS, INPUTS, MODEL, RESULTS, PackRun, PackUnit, run_script
from inferry.core.bundle import MODEL as ONNX
from inferry.core.bundle import REWRITES, Bundle, open_bundle
from inferry.core.errors import ParityError, UsageError
from inferry.core.files import atomic_folder, sha256_of, to_json_text, write_atomic
from inferry.core.machine import package_version
from inferry.pipeline.comparison.cases import LIMIT
from inferry.pipeline.compile import Compilation, CompileOptions, compile_bundle
from inferry.pipeline.engine import Tally
from inferry.pipeline.jobs.folder import JOB, Job, job_id
from inferry.pipeline.jobs.preprocess import preprocess
from inferry.pipeline.jobs.target import JobOptions
from inferry.pipeline.optimize import optimize

PACK: Final = "pack.json"
SCRIPT: Final = "run.sh"
README: Final = "README.txt"
SCHEMA: Final = 1
_ARCHIVES: Final[Mapping[str, Literal["w", "w:gz"]]] = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz"}


@dataclass(frozen=True)
class PackOptions:
    """What goes into a pack.

    Attributes:
        soc: The chip that it is compiled for there.
        target: Whose passes rewrite the graph first; None to leave it as it is.
        precision: As for `inferry.pipeline.compile`.
        job: The data set's part, and the shapes.
    """

    soc: str = "Ascend310P3"
    target: str | None = "ascend310p"
    precision: str = "fp32"
    job: JobOptions = field(default_factory=JobOptions)


@dataclass(frozen=True)
class Pack:
    """A pack.

    Attributes:
        path: The folder or archive.
        units: What will be compiled and run.
        job: The inputs in it.
        compilation: How the graph will be compiled.
        bytes: Of all files.
    """

    path: Path
    units: tuple[PackUnit, ...]
    job: Job
    compilation: Compilation
    bytes: int

    @property
    def folder(self) -> Path:
        """The pack's folder; of an archive, the one that unpacking it beside itself makes."""
        return self.path.with_name(self.path.name.removesuffix(_suffix(self.path)))

    def to_json(self) -> dict[str, Any]:
        """For ``--json``, and the content of ``pack.json`` beside its schema."""
        return {
            "pack": str(self.path),
            "bytes": self.bytes,
            "bundle": self.job.config["bundle"],
            "soc": self.compilation.compiled.device,
            "precision": self.compilation.compiled.precision,
            "counts": dict(self.job.counts),
            "oms": [{"stem": unit.stem, "command": list(unit.command), "runs": _names(unit)} for unit in self.units],
            "drift": None if self.compilation.drift is None else self.compilation.drift.to_json(),
            "notes": list(self.compilation.notes),
        }


def pack(
    bundle: str | Path,
    data: str | Path | Sequence[Path],
    output: str | Path,
    options: PackOptions | None = None,
    progress: Callable[[Tally], None] | None = None,
) -> Pack:
    """Put everything that an NPU's machine needs into one folder, or one archive.

    Args:
        bundle: The bundle's folder; what comes back is read with the same one.
        data: The data set's path, or a list of files.
        output: The folder, or a file that ends in ``.tar``, ``.tar.gz`` or ``.tgz``. It appears when all is written.
        options: See `PackOptions`.
        progress: Called after each sample.

    Raises:
        UsageError: Options contradict each other, ais_bench would refuse the path, or atc the command.
        DatasetError: The data set as a whole cannot be read.
        ParityError: A pass for the target was rolled back.
        RunError: No sample could be processed.
    """
    options, target = options or PackOptions(), Path(output)
    if options.job.compiled is not None:
        raise UsageError("a pack is compiled where it runs: it takes no compiled model of the bundle")
    suffix = _suffix(target)
    _require_free(target, is_archive=bool(suffix))
    opened = open_bundle(bundle)
    if not suffix:
        with atomic_folder(target) as work:
            made = _write(work, opened, data, options, progress)
        target.chmod(FOLDER_MODE)
        return replace(made, path=target, job=replace(made.job, folder=target / INPUTS))
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".inferry-pack-", dir=target.parent) as name:
        work = Path(name) / target.name.removesuffix(suffix)
        work.mkdir(mode=FOLDER_MODE)
        made = _write(work, opened, data, options, progress)
        archive = Path(name) / target.name
        with tarfile.open(archive, _ARCHIVES[suffix], format=tarfile.PAX_FORMAT) as file:
            for path in _below(work):
                file.add(path, path.relative_to(name), recursive=False, filter=_anonymous)
                # It would keep what it knows of every file, of millions where there are millions of samples.
                file.getmembers().clear()
        archive.replace(target)
    return replace(made, path=target)


def _suffix(target: Path) -> str:
    """Of an archive; empty for a folder."""
    return next((one for one in _ARCHIVES if target.name.endswith(one)), "")


def _require_free(target: Path, *, is_archive: bool) -> None:
    """A pack may take an older pack's place, and nothing else's; its files are checked where they are written."""
    if problems := path_problems(target):
        raise UsageError(f"a pack cannot be written here:\n{listing(problems)}")
    free = not target.exists() or (_is_packed(target) if is_archive else _is_pack(target))
    if not free:
        raise UsageError(f"{target} exists and is no pack: choose another --output")


def _is_pack(folder: Path) -> bool:
    return folder.is_dir() and ((folder / PACK).is_file() or not any(folder.iterdir()))


def _is_packed(archive: Path) -> bool:
    """Whether an archive begins as those of packs do."""
    try:
        with tarfile.open(archive) as file:
            first = [Path(member.name).name for member in islice(file, 3)]
    except (tarfile.TarError, OSError, EOFError):
        return False
    return first[1:] == [README, CHECKSUMS]


def _below(folder: Path) -> Iterator[Path]:
    """The folder and all that it holds, in order; the names of one folder at a time are in memory."""
    yield folder
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _below(path)
        else:
            yield path


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whoever unpacks it owns it, as ais_bench wants."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _write(
    work: Path,
    bundle: Bundle,
    data: str | Path | Sequence[Path],
    options: PackOptions,
    progress: Callable[[Tally], None] | None,
) -> Pack:
    """All files, into a folder that exists."""
    job = preprocess(bundle.path, data, work / INPUTS, options.job, progress)
    # What comes back is signed with it.
    job = replace(job, compiled={"device": options.soc, "precision": options.precision})
    job = replace(job, id=job_id(job))
    write_atomic(work / INPUTS / JOB, to_json_text(job.to_json()))
    model = work / MODEL
    model.mkdir()
    with TemporaryDirectory(prefix=".inferry-optimised-", dir=work.parent) as name:
        optimised = bundle if options.target is None else _optimised(bundle, Path(name) / "bundle", options.target)
        for file in (ONNX, f"{ONNX}.data", REWRITES):
            if (optimised.path / file).is_file():
                shutil.copyfile(optimised.path / file, model / file)
        compilation = _commands(optimised, model, job, options, data)
    units = _units(compilation, job)
    made = Pack(work, units, job, compilation, 0)
    _finish(work, made)
    return replace(made, bytes=sum(path.stat().st_size for path in _below(work) if path.is_file()))


def _optimised(bundle: Bundle, folder: Path, target: str) -> Bundle:
    ledger = optimize(bundle.path, folder, target=target)
    if not ledger.ok:
        said = [f"{entry.name} was rolled back: {entry.problem}" for entry in ledger.rolled_back]
        raise ParityError(
            f"the graph cannot be rewritten for {target}: {'; '.join([*said, *ledger.problems])}. Look at it with "
            f"`inferry optimize`, or leave the graph as it is with --no-optimize"
        )
    return open_bundle(folder)


def _commands(
    bundle: Bundle, folder: Path, job: Job, options: PackOptions, data: str | Path | Sequence[Path]
) -> Compilation:
    """What will be compiled: one om with all gears if ais_bench's command line can name them, else one for each.

    What half precision does is measured on the data set itself where it is one path, and has samples that run whole.
    """
    measured = options.job.limit if options.job.limit is None else min(options.job.limit, LIMIT)
    wanted = CompileOptions(
        soc=options.soc,
        precision=options.precision,
        gears=job.gears,
        split=not job.gears.addressable,
        fp16_inputs=options.job.fp16_inputs,
        aipp=options.job.aipp,
        data=Path(data) if isinstance(data, str | Path) else None,
        limit=measured,
        kind=options.job.kind if isinstance(data, str | Path) else None,
    )
    try:
        made = compile_bundle(bundle, wanted, folder=folder, model=ONNX, run=False, emulate=True)
    except ParityError as error:
        if wanted.data is None or options.precision == "fp32":
            raise
        probes = replace(wanted, data=None, kind=None)
        made = compile_bundle(bundle, probes, folder=folder, model=ONNX, run=False, emulate=True)
        made = replace(made, notes=(f"half precision on the data set: {error}", *made.notes))
    if made.problems:
        listed = "\n".join(f"  {one.code}: {one.found}. {one.fix}" for one in made.problems)
        raise UsageError(f"atc would refuse to compile this:\n{listed}")
    return made


def _units(compilation: Compilation, job: Job) -> tuple[PackUnit, ...]:
    """Each om with the runs of its gears; an om of a shape that no sample has is not compiled."""
    units = []
    for unit in compilation.compiled.units:
        gears = GearSet(job.gears.inputs, tuple(Gear(row["batch"], row["sizes"]) for row in unit.gears))
        names = {gear.name for gear in gears.gears}
        runs = tuple(
            PackRun(
                run.name,
                tuple(f"{run.part.folder}/{folder}" for folder in run.part.inputs),
                run.part.files * len(job.outputs),
                gears.ais_bench_options(run.gear),
            )
            for run in job.runs
            if run.gear.name in names
        )
        if runs:
            units.append(PackUnit(unit.stem, unit.command, runs))
    return tuple(units)


def _finish(work: Path, made: Pack) -> None:
    """The script, the readme, the description, and at last the checksums of all files."""
    version = package_version("inferry") or "unknown"
    row = {"schema": SCHEMA, "inferry": version, **made.to_json()}
    write_atomic(
        work / PACK, to_json_text({name: value for name, value in row.items() if name not in {"pack", "bytes"}})
    )
    (work / SCRIPT).write_text(run_script(made.units, made.job.id), encoding="ascii")
    compiled = made.compilation.compiled
    text = readme_text(made.units, compiled.device, compiled.precision, made.job.counts, version)
    (work / README).write_text(text, encoding="utf-8")
    with (work / CHECKSUMS).open("w", encoding="utf-8") as lines:
        for path in _below(work):
            path.chmod(FOLDER_MODE if path.is_dir() or path.suffix == ".sh" else FILE_MODE)
            if path.is_file() and path.name != CHECKSUMS:
                lines.write(f"{sha256_of(path)}  {path.relative_to(work)}\n")


def _names(unit: PackUnit) -> list[str]:
    return [run.name for run in unit.runs]


__all__ = ["RESULTS", "Pack", "PackOptions", "pack"]
