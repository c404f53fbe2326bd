"""``inferry predict``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.decoding import decoding_of
from inferry.cli.options import (
    Alpha,
    Backend,
    Beam,
    Beta,
    BundleArgument,
    Hotword,
    HotwordWeight,
    Json,
    LanguageModel,
    MaxSeconds,
    Precision,
    Threads,
)
from inferry.core.errors import UsageError
from inferry.core.protocols import MAX_SECONDS, Decoding
from inferry.report.captions import readable

if TYPE_CHECKING:
    from inferry.pipeline.model import Model
    from inferry.pipeline.predict import Failed, Shown

EXAMPLE: Final = "inferry predict bundle/ photo.jpg --question 'what colour is the cat?'"


@console.verb
def command(
    bundle: BundleArgument,
    files: Annotated[
        list[Path], typer.Argument(help="Sounds, pictures, or .npz files of ready-made regions.", metavar="FILE…")
    ],
    question: Annotated[
        list[str] | None, typer.Option(help="Asked about each picture; may be given several times.")
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(help="Draw the regions that were looked at over the picture, into this .png or .jpg.")
    ] = None,
    kind: Annotated[
        str, typer.Option("--format", help="text or json; for sounds also srt, vtt and ctm.", metavar="NAME")
    ] = "text",
    output: Annotated[Path | None, typer.Option(help="Folder for one file an answer; default: the screen.")] = None,
    backend: Backend = "onnxruntime",
    precision: Precision = "fp32",
    threads: Threads = None,
    max_seconds: MaxSeconds = MAX_SECONDS,
    beam: Beam = None,
    lm: LanguageModel = None,
    alpha: Alpha = Decoding.alpha,
    beta: Beta = Decoding.beta,
    hotword: Hotword = None,
    hotword_weight: HotwordWeight = Decoding.hotword_weight,
    as_json: Json = False,
) -> None:
    """Text, labels or answers for single files; a bad file is named and the others go on (exit code 1)."""
    from inferry.core.bundle import open_bundle
    from inferry.pipeline.model import load
    from inferry.pipeline.predict import check_request

    questions = question or []
    _check(files, kind, output, draw, as_json=as_json)
    manner = check_request(open_bundle(bundle), files, kind, questions, draw)
    rows_only = as_json or (kind == "json" and output is None)
    wanted = _Wanted(files, questions, kind, output, rows_only, rows_only or kind not in manner.plain, max_seconds)
    decoding = decoding_of(beam, lm, alpha, beta, hotword, hotword_weight)
    with (
        _interruptible(),
        load(bundle, backend, precision, threads, decoding=decoding, max_seconds=max_seconds) as model,
    ):
        rows = list(_rows(model, wanted))
        if rows_only:
            console.print_json(rows)
        # Last, so that a drawing that cannot be written costs no answer.
        if draw is not None and (answered := [row for row in rows if "error" not in row]):
            _draw(model, files[0], str(answered[0]["question"]), draw)
    if any("error" in row for row in rows):
        raise typer.Exit(console.EXIT_FAILED)


@dataclass(frozen=True)
class _Wanted:
    """What is to be answered, and where the answers go; with `rows_only` they become one JSON document."""

    files: Sequence[Path]
    questions: Sequence[str]
    kind: str
    output: Path | None
    rows_only: bool
    detailed: bool
    max_seconds: float


def _rows(model: "Model", wanted: _Wanted) -> Iterator[dict[str, object]]:
    """Each answer or failure as JSON, once it is printed or written."""
    from inferry.pipeline.predict import Failed, predict

    for answer in predict(model, wanted.files, wanted.questions, detailed=wanted.detailed):
        if isinstance(answer, Failed):
            _name(answer)
            yield answer.to_json()
            continue
        shown = answer.shown
        if answer.windows > 1:
            name = console.escape(readable(shown.file))
            console.err.print(f"{name}: longer than {wanted.max_seconds:g} s, joined from {answer.windows} windows")
        if wanted.output is not None:
            _write(shown, wanted.kind, wanted.output, quiet=wanted.rows_only)
        elif not wanted.rows_only:
            _print(shown, wanted.kind, prefixed=len(wanted.files) > 1)
        yield shown.to_json()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Unlike a run, the same command begins again."""
    try:
        yield
    except KeyboardInterrupt as error:
        console.err.print("interrupted; what is printed or written already is whole, the rest is missing")
        raise typer.Exit(console.EXIT_INTERRUPTED) from error


def _check(files: Sequence[Path], kind: str, output: Path | None, draw: Path | None, *, as_json: bool) -> None:
    """Refuse what no bundle can mean before one is opened."""
    from inferry.pipeline.draw import check_drawing
    from inferry.pipeline.predict import FORMATS, check_names

    if kind not in FORMATS:
        raise UsageError(f"there is no format {kind!r}; available: {', '.join(FORMATS)}")
    if draw is not None:
        check_drawing(files, draw)
    if output is not None or kind == "ctm":
        check_names(files, kind)
    if output is not None:
        if output.exists() and not output.is_dir():
            raise UsageError(f"{output} is no folder: choose another --output")
        return
    if as_json and kind not in {"text", "json"}:
        raise UsageError(f"--json and --format {kind} cannot share the screen: leave one out, or add --output DIR")
    if kind in {"srt", "vtt"} and len(files) > 1:
        raise UsageError(f"{len(files)} files make {len(files)} {kind} files: add --output DIR")


def _name(bad: "Failed") -> None:
    asked = "" if bad.question is None else f" ({bad.question})"
    console.err.print(f"[bold red]{console.escape(bad.file + asked)}:[/] {console.escape(bad.reason)}")


def _print(shown: "Shown", kind: str, *, prefixed: bool) -> None:
    prefix = shown.heading if prefixed and kind == "text" else ""
    typer.echo(prefix + shown.render(kind), nl=False)


def _write(shown: "Shown", kind: str, output: Path, *, quiet: bool) -> None:
    from inferry.pipeline.predict import write_answer

    path = write_answer(shown, kind, output)
    if not quiet:
        typer.echo(readable(path))


def _draw(model: "Model", file: Path, question: str, output: Path) -> None:
    from inferry.pipeline.draw import draw

    regions = draw(model, file, question, output)
    found = {0: "the detector found no region to draw", 1: "1 region, with its score"}
    told = found.get(regions, f"{regions} regions, the best with rank and score")
    console.err.print(f"{console.escape(readable(output))}: {told}")
