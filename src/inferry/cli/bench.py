"""``inferry bench``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.live import Live
from rich.table import Table

from inferry.cli import console
from inferry.cli.options import BundleArgument, Json, Layout, Limit
from inferry.core.errors import UsageError
from inferry.core.runs import BENCH

if TYPE_CHECKING:
    from inferry.pipeline.benchmark.results import Benchmark, ConfigurationResult, Result

EXAMPLE: Final = "inferry bench bundle/ --data folder-of-audio/ --batch-sizes 1,4,8 --threads 1,2"

_SHOWN: Final = 5
_STAGES: Final = (">batch", ">read", ">features", ">network", ">decode", ">first result s", ">rounds")


@console.verb
def command(
    bundle: BundleArgument,
    data: Annotated[Path | None, typer.Option(help="Data set whose mix of lengths is measured.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Instead of --data, for sounds: noise of this length.")] = None,
    batch_sizes: Annotated[str, typer.Option(help="Most samples a batch, each measured.")] = "1,4,8,16,32",
    backend: Annotated[str, typer.Option(help="Runtimes; see `inferry doctor`.")] = "onnxruntime",
    precision: Annotated[str, typer.Option(help="Precisions.")] = "fp32",
    threads: Annotated[str | None, typer.Option(help="Threads; default: all this process may use.")] = None,
    baseline: Annotated[str | None, typer.Option(help="recipe: measure the family's published recipe too.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Most rounds; fewer once all settled, or in 25 s.")] = 12,
    samples: Annotated[int | None, typer.Option(min=1, help="Samples a round; default: a few seconds' worth.")] = None,
    limit: Limit = None,
    layout: Layout = None,
    output: Annotated[Path | None, typer.Option(help=f"Folder to write {BENCH} into; may be a run's.")] = None,
    as_json: Json = False,
) -> None:
    """Throughput and latency. Values separated by commas are measured in turn and compared."""
    from inferry.pipeline.bench import BenchOptions, bench

    options = BenchOptions(
        batch_sizes=_numbers("--batch-sizes", batch_sizes),
        backends=_words("--backend", backend),
        precisions=_words("--precision", precision),
        threads=() if threads is None else _numbers("--threads", threads),
        baseline=baseline,
        rounds=rounds,
        samples=samples,
        limit=limit,
        kind=layout,
    )
    try:
        with _progress(quiet=as_json) as progress:
            made = bench(bundle, data, seconds=seconds, options=options, output=output, progress=progress)
    except KeyboardInterrupt as error:
        console.err.print("interrupted; nothing was written")
        raise typer.Exit(console.EXIT_INTERRUPTED) from error
    if as_json:
        console.print_json(made.to_json())
        return
    show_benchmark(made)
    if output is not None:
        console.out.print(f"written: {console.escape(str(output / BENCH))}")


def _words(option: str, text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise UsageError(f"{option} {text!r} has an empty part; separate values by single commas")
    return words


def _numbers(option: str, text: str) -> tuple[int, ...]:
    words = _words(option, text)
    wrong = [word for word in words if not word.isascii() or not word.isdigit() or int(word) < 1]
    if wrong:
        raise UsageError(f"{option} {text!r}: {', '.join(wrong)} is no whole number of 1 or more")
    return tuple(int(word) for word in words)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line on standard error that says what goes on; nothing where nobody watches."""
    if quiet or not console.err.is_terminal:
        yield lambda _: None
        return
    # No spinner: a thread that draws would run beside what is measured.
    with Live(console=console.err, auto_refresh=False, transient=True) as live:
        yield lambda text: live.update(text, refresh=True)


def show_benchmark(made: "Benchmark") -> None:
    """A table a configuration, then how they compare, the ceiling, what did not settle, and the signature."""
    sound = "" if made.valid_seconds is None else f", {made.valid_seconds:.1f} s of sound"
    console.out.print(f"{console.escape(made.data)}{sound}; the bundle has {made.bundle_bytes / 1e6:,.1f} MB")
    for one in made.configurations:
        console.out.print()
        _show_configuration(one)
    _show_ratios(made)
    _show_ceiling(made)
    _show_doubts(made)
    for reason in made.left_out[:_SHOWN]:
        console.out.print(f"[yellow]left out:[/] {console.escape(reason)}")
    if len(made.left_out) > _SHOWN:
        console.out.print(f"  … {len(made.left_out):,} left out in all")
    console.out.print("signature: " + console.escape("; ".join(f"{k}: {v}" for k, v in made.signature.items())))


def _show_doubts(made: "Benchmark") -> None:
    """Of which numbers a reader should think twice."""
    for one in made.configurations:
        unsettled = [str(result.batch_size) for result in one.results if not result.settled]
        if unsettled:
            sizes = ", ".join(unsettled)
            console.out.print(
                f"[yellow]not settled:[/] {one.name}, batch size {sizes}: more --rounds, or a quieter machine"
            )
    results = [result for one in made.configurations for result in one.results]
    if any((result.fraction_of_ceiling or 0) > 1 for result in results):
        console.out.print("[yellow]more than 100%:[/] something else ran beside the large product; try more --rounds")
    if larger := [str(size) for size in sorted({result.batch_size for result in results}) if size > made.samples]:
        samples = f"{made.samples:,} sample{'' if made.samples == 1 else 's'}"
        console.out.print(f"[yellow]never filled:[/] batch size {', '.join(larger)}: a round has {samples}")


def _show_configuration(one: "ConfigurationResult") -> None:
    console.out.print(_speed(one))
    unit = "item" if one.results[0].audio_seconds_per_second is None else "second of sound"
    title = f"ms of work for each {unit}, and a fresh process's first result"
    console.out.print(console.table(*_STAGES, rows=[_stages(result) for result in one.results], title=title))
    for result in one.results:
        if result.startup.reason:
            reason = console.escape(result.startup.reason)
            console.out.print(f"[yellow]no memory and start measured[/] at batch size {result.batch_size}: {reason}")
    if one.baseline:
        _show_dropped(one.results[0])
    elif len(one.results) > 1:
        console.out.print(_ranking(one))


def _speed(one: "ConfigurationResult") -> Table:
    """A line a batch size; the task's main rate and sound only where there are any."""
    columns: list[tuple[str, Callable[[Result], str]]] = [(">batch", lambda result: str(result.batch_size))]
    rates = [result.accuracy.main.name for result in one.results if result.accuracy is not None]
    columns += [(f">{name} %", _main_rate) for name in rates[:1]]
    columns.append((">items/s", lambda result: f"{result.items_per_second:.2f}"))
    if any(result.audio_seconds_per_second is not None for result in one.results):
        columns.append((">audio s/s", lambda result: _or_dash(result.audio_seconds_per_second, ".1f")))
    columns += [
        (">p50 ms", lambda result: f"{result.latency_ms.p50:.1f}"),
        (">p90 ms", lambda result: f"{result.latency_ms.p90:.1f}"),
        (">p99 ms", lambda result: f"{result.latency_ms.p99:.1f}"),
        (">real %", lambda result: f"{100 * result.padding_efficiency:.0f}"),
        (">peak MB", _peak),
    ]
    rows = [tuple(cell(result) for _, cell in columns) for result in one.results]
    return console.table(*(name for name, _ in columns), rows=rows, title=one.name)


def _main_rate(result: "Result") -> str:
    return _or_dash(None if result.accuracy is None else result.accuracy.main.percent, ".2f")


def _peak(result: "Result") -> str:
    memory = result.startup.peak_memory_bytes
    return _or_dash(None if memory is None else memory / 1e6, ",.0f")


def _stages(result: "Result") -> tuple[str, ...]:
    work = (f"{1000 * value:.3f}" for value in result.stages.to_json().values())
    return (str(result.batch_size), *work, _or_dash(result.startup.first_result_seconds, ".2f"), str(result.rounds))


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _ranking(one: "ConfigurationResult") -> str:
    ties = [str(size) for size in one.ranking.as_fast]
    if len(ties) == 1:
        return f"fastest batch size: {ties[0]}"
    return f"fastest batch sizes, a tie: {', '.join(ties)}"


def _show_dropped(result: "Result") -> None:
    """What the recipe does not run, and the main rate if that counts."""
    if not result.dropped:
        return
    shown = ", ".join(result.dropped[:_SHOWN]) + (" …" if len(result.dropped) > _SHOWN else "")
    console.out.print(f"dropped as too long: {len(result.dropped)} ({console.escape(shown)})")
    if result.accuracy is not None and result.accuracy.main_with_dropped is not None:
        console.out.print(f"{result.accuracy.main.name} if they count too: {result.accuracy.main_with_dropped:.2f} %")


def _show_ratios(made: "Benchmark") -> None:
    if not made.ratios:
        return
    rows = [
        (
            one.configuration,
            str(one.batch_size),
            f"{one.ratio.median:.3f}",
            f"{one.ratio.least:.3f} … {one.ratio.greatest:.3f}",
            one.ratio.verdict,
        )
        for one in made.ratios
    ]
    title = f"speed over that of {made.ratios[0].against}, round by round"
    console.out.print()
    console.out.print(console.table("", ">batch", ">median", "range", "", rows=rows, title=title))


def _show_ceiling(made: "Benchmark") -> None:
    """What large matrix products reach, and what share of it the networks reach."""
    console.out.print()
    for one in made.configurations:
        ceiling = one.ceiling.of(one.precision)
        shares = [
            f"{result.batch_size}: {result.fraction_of_ceiling:.0%}"
            for result in one.results
            if result.fraction_of_ceiling is not None
        ]
        if ceiling is not None and shares:
            console.out.print(
                f"{one.name}, by batch size: {'; '.join(shares)} of a large product's {ceiling / 1e9:.0f} GFLOP/s"
            )
    whole = ", ".join(
        f"{name} {value / 1e9:.0f}"
        for name, value in (("fp32", made.ceiling.fp32), ("int8", made.ceiling.int8))
        if value
    )
    console.out.print(f"ceiling, billion operations a second: {whole or 'not measured'}")
    if made.uncounted:
        console.out.print(f"operations of these are not counted: {', '.join(made.uncounted)}")
