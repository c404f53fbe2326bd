"""``inferry postprocess``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from inferry.cli import console
from inferry.cli.decoding import decoding_of
from inferry.cli.evaluate import show_evaluation
from inferry.cli.infer import show_run
from inferry.cli.options import Alpha, Beam, Beta, BundleArgument, Hotword, HotwordWeight, Json, LanguageModel, Output
from inferry.core.protocols import Decoding

if TYPE_CHECKING:
    from inferry.pipeline.jobs.postprocess import Postprocessed

EXAMPLE: Final = "inferry postprocess bundle/ --outputs results/ --job job/ --output run/"


@console.verb
def command(
    bundle: BundleArgument,
    outputs: Annotated[Path, typer.Option(help="Folder that holds the output folder of each gear (samples16000_b4).")],
    output: Output,
    job: Annotated[
        Path | None, typer.Option(help="What `preprocess` or `pack` made; default: the nearest at or above --outputs.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="What ran it (Ascend310P3), where the job does not say.")] = None,
    precision: Annotated[str | None, typer.Option(help="Of the compiled model, where the job does not say.")] = None,
    beam: Beam = None,
    lm: LanguageModel = None,
    alpha: Alpha = Decoding.alpha,
    beta: Beta = Decoding.beta,
    hotword: Hotword = None,
    hotword_weight: HotwordWeight = Decoding.hotword_weight,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 if a sample was quarantined or batching changed an answer.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a run of what ais_bench or msame computed from `inferry preprocess`: answers, scores, NPU times.

    Of ais_bench .bin, .npy and .txt are read, of msame .bin. msame writes no summary: its times are not known.
    """
    with console.all_or_nothing():
        from inferry.pipeline.jobs.postprocess import postprocess

        decoding = decoding_of(beam, lm, alpha, beta, hotword, hotword_weight)
        made = postprocess(bundle, outputs, output, job=job, decoding=decoding, device=device, precision=precision)
    if as_json:
        console.print_json(_to_json(made))
    else:
        _show(made)
    if made.failed or (strict and (made.run.info["quarantined"] or made.differing)):
        raise typer.Exit(console.EXIT_FAILED)


def _to_json(made: "Postprocessed") -> dict[str, Any]:
    return {
        "run": str(made.run.path),
        **made.run.info,
        "metrics": None if made.evaluation is None else made.evaluation.to_json(rows=False),
        "unscored": made.unscored or None,
        "npu": list(made.npu),
        "batches": [one.to_json() for one in made.differences],
        "near_ties": made.near_ties,
    }


def _show(made: "Postprocessed") -> None:
    show_run(made.run)
    signed = made.run.info["signature"]
    console.out.print(
        f"measured elsewhere: {console.escape(signed['om'])} on {console.escape(signed['device'])}, "
        f"precision {console.escape(signed['precision'])}, outputs written {signed.get('written', 'never')}"
    )
    if made.npu:
        names = ("gear", ">runs", ">ms mean", ">median", ">p99", ">to NPU", ">from NPU", ">samples/s")
        console.out.print(console.table(*names, rows=[_cells(row) for row in made.npu]))
    else:
        console.out.print("[yellow]no summary of ais_bench came back: the NPU's times are not known[/]")
    for one in made.differences:
        if one.differing:
            console.out.print(
                f"[bold red]batching changed answers:[/] batch size {one.batch}: {one.differing:,} of {one.compared:,},"
                f" the first: {console.escape(str(one.first))}"
            )
        else:
            console.out.print(f"batch size {one.batch}: the same {one.compared:,} answers")
    if made.near_ties:
        console.out.print(f"near ties, which rounding could change: {made.near_ties:,}")
    if made.evaluation is not None:
        show_evaluation(made.evaluation)
    else:
        console.out.print(f"[bold yellow]not scored:[/] {console.escape(made.unscored)}")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    compute = row["compute_ms"]
    copies = (None if row[name] is None else row[name]["mean"] for name in ("h2d_ms", "d2h_ms"))
    times = (compute["mean"], compute["median"], compute["p99"], *copies, row["samples_per_second"])
    said = ("-" if time is None else f"{time:,.3f}" for time in times)
    return row["gear"], f"{compute['count']:,}", *said
