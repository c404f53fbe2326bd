"""``inferry compile``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.options import BundleArgument, Json, Plan
from inferry.cli.shapes import BatchSizes, Sizes, numbers_of, sizes_of

if TYPE_CHECKING:
    from inferry.pipeline.compile import Compilation

EXAMPLE: Final = "inferry compile bundle/ --soc Ascend310P3 --precision fp16 --plan plan.json"


@console.verb
def command(
    bundle: BundleArgument,
    soc: Annotated[str, typer.Option(help="The chip: Ascend and the name that `npu-smi info` prints.")] = "",
    backend: Annotated[str, typer.Option(help="Whose compiler.")] = "ascend",
    precision: Annotated[
        str, typer.Option(help="fp32 (as the graph stands), fp16, or mixed: fp16 but for what leaves its range.")
    ] = "fp32",
    plan: Plan = None,
    sizes: Sizes = None,
    batch_sizes: BatchSizes = None,
    split: Annotated[
        bool, typer.Option("--split", help="One static om for each shape instead of one with all.")
    ] = False,
    keep_fp32: Annotated[
        list[str] | None,
        typer.Option(help="A node that stays in float32, or all of an operator, Type:Softmax; several times."),
    ] = None,
    op_precision: Annotated[
        list[str] | None,
        typer.Option(help="Which implementation a node or Type:OPERATOR takes: NAME=high_precision; several times."),
    ] = None,
    dtypes: Annotated[
        list[str] | None,
        typer.Option(help="Types of a node's or Type:OPERATOR's inputs and outputs: NAME=float16,float16:float32."),
    ] = None,
    mix_list: Annotated[
        list[str] | None,
        typer.Option(help="For mixed, atc's own lists with this change, not what was measured: black+Softmax, white-…"),
    ] = None,
    fusion_off: Annotated[
        list[str] | None, typer.Option(help="A fusion pass of atc to switch off; may be given several times.")
    ] = None,
    fp16_inputs: Annotated[
        bool, typer.Option("--fp16-inputs", help="The om takes its float inputs in half precision.")
    ] = False,
    aipp: Annotated[
        bool, typer.Option("--aipp", help="The om takes pictures as uint8 and normalises them itself.")
    ] = False,
    emulate: Annotated[
        bool, typer.Option("--emulate/--no-emulate", help="Measure on this processor what fp16 does to the answers.")
    ] = True,
    data: Annotated[
        Path | None, typer.Option(help="Data set on which that is measured; default: the family's probes.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most samples of it; default: 32 of all lengths.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compile again what is there already.")] = False,
    as_json: Json = False,
) -> None:
    """Write the command that compiles a bundle for an NPU, check it, and run it where atc is installed."""
    from inferry.core.bundle import open_bundle
    from inferry.pipeline.compile import CompileOptions, compile_bundle
    from inferry.pipeline.compiling.precision import PrecisionDetails
    from inferry.planning.make import read_plan

    options = CompileOptions(
        soc=soc,
        backend=backend,
        precision=precision,
        plan=None if plan is None else read_plan(plan),
        sizes=sizes_of(sizes),
        batch_sizes=numbers_of("--batch-sizes", batch_sizes),
        split=split,
        details=PrecisionDetails(*(tuple(said or ()) for said in (keep_fp32, op_precision, dtypes, mix_list))),
        fusion_off=tuple(fusion_off or ()),
        fp16_inputs=fp16_inputs,
        aipp=aipp,
        data=data,
        limit=limit,
    )
    try:
        made = compile_bundle(open_bundle(bundle), options, force=force, emulate=emulate, tell=_tell)
    except KeyboardInterrupt as error:
        console.err.print("interrupted; atc was ended, and nothing was written")
        raise typer.Exit(console.EXIT_INTERRUPTED) from error
    if as_json:
        console.print_json(made.to_json())
    else:
        _show(made)
    if made.failed:
        raise typer.Exit(made.exit_code)


def _tell(text: str) -> None:
    console.err.print(console.escape(text))


def _show(made: "Compilation") -> None:
    folder = console.escape(str(made.compiled.folder))
    for line in made.drift.lines if made.drift else ():
        console.out.print(console.escape(line))
    for problem in made.problems:
        typer.echo(str(problem))
    if made.problems:
        console.out.print(f"[bold red]atc would refuse this:[/] {len(made.problems)} problems; nothing was written")
        return
    for unit in made.compiled.units:
        shapes = f"{len(unit.gears)} gears" if len(unit.gears) > 1 else "one shape"
        result = unit.om or ("not compiled" if unit.returncode is None else f"atc failed ({unit.returncode})")
        console.out.print(f"{unit.stem}: {shapes}: {result}")
    for reading in made.readings:
        for said in (*reading.warnings, *map(str, reading.problems)):
            typer.echo(said)
    for note in made.notes:
        console.out.print(console.escape(note))
    console.out.print(_ending(made, folder))


def _ending(made: "Compilation", folder: str) -> str:
    if made.cached:
        return f"it was compiled before, and nothing ran (--force compiles again): {folder}"
    if made.failed:
        return f"[bold red]atc failed;[/] all it printed: {folder}/atc.log"
    if made.ran:
        return f"compiled: {folder}"
    return f"[yellow]atc is not on the PATH: nothing was compiled.[/] On a machine with CANN run: {folder}/atc.sh"
