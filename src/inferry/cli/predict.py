"""``inferry predict``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

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
    Threads,
)
from inferry.core.errors import UsageError
from inferry.core.protocols import MAX_SECONDS, Decoding
from inferry.core.samples import Rejected
from inferry.report.captions import FORMATS, Transcript, readable

EXAMPLE: Final = "inferry predict bundle/ a.flac b.wav --format srt --output subtitles/"


@console.verb
def command(
    bundle: BundleArgument,
    files: Annotated[list[Path], typer.Argument(help="Audio files.", metavar="FILE…")],
    kind: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = "text",
    output: Annotated[Path | None, typer.Option(help="Folder for one file an input; default: the screen.")] = None,
    backend: Backend = "onnxruntime",
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
    """Text, subtitles or words with times; a bad file is named and the others go on (exit code 1)."""
    from inferry.pipeline.model import load
    from inferry.pipeline.predict import check_names, predict

    _check(files, kind, output, as_json=as_json)
    if output is not None or kind == "ctm":
        check_names(files, kind)
    rows_only = as_json or (kind == "json" and output is None)
    rows: list[dict[str, object]] = []
    decoding = decoding_of(beam, lm, alpha, beta, hotword, hotword_weight)
    with (
        _interruptible(),
        load(bundle, backend, threads=threads, decoding=decoding, max_seconds=max_seconds) as model,
    ):
        for answer in predict(model, files, detailed=rows_only or kind != "text"):
            if isinstance(answer, Rejected):
                rows.append({"file": answer.path, "error": f"{answer.stage}: {answer.reason}"})
                _name(answer)
                continue
            rows.append(answer.to_json())
            if (windows := len(model.cut(answer.file))) > 1:
                name = console.escape(str(answer.file))
                console.err.print(f"{name}: longer than {max_seconds:g} s, joined from {windows} windows")
            if output is not None:
                _write(answer, kind, output, quiet=rows_only)
            elif not rows_only:
                _print(answer, kind, prefixed=len(files) > 1)
    if rows_only:
        console.print_json(rows)
    if any("error" in row for row in rows):
        raise typer.Exit(console.EXIT_FAILED)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Unlike a run, the same command begins again."""
    try:
        yield
    except KeyboardInterrupt as error:
        console.err.print("interrupted; what is printed or written already is whole, the rest is missing")
        raise typer.Exit(console.EXIT_INTERRUPTED) from error


def _check(files: Sequence[Path], kind: str, output: Path | None, *, as_json: bool) -> None:
    """Refuse what cannot be meant before anything runs."""
    if kind not in FORMATS:
        raise UsageError(f"there is no format {kind!r}; available: {', '.join(FORMATS)}")
    if output is not None:
        if output.exists() and not output.is_dir():
            raise UsageError(f"{output} is no folder: choose another --output")
        return
    if as_json and kind not in {"text", "json"}:
        raise UsageError(f"--json and --format {kind} cannot share the screen: leave one out, or add --output DIR")
    if kind in {"srt", "vtt"} and len(files) > 1:
        raise UsageError(f"{len(files)} files make {len(files)} {kind} files: add --output DIR")


def _name(bad: Rejected) -> None:
    reason = console.escape(f"{bad.stage}: {bad.reason}")
    console.err.print(f"[bold red]{console.escape(bad.path)}:[/] {reason}")


def _print(answer: Transcript, kind: str, *, prefixed: bool) -> None:
    prefix = f"{readable(answer.file)}: " if prefixed and kind == "text" else ""
    typer.echo(prefix + FORMATS[kind](answer), nl=False)


def _write(answer: Transcript, kind: str, output: Path, *, quiet: bool) -> None:
    from inferry.pipeline.predict import write_transcript

    path = write_transcript(answer, kind, output)
    if not quiet:
        typer.echo(readable(path))
