"""``inferry compile``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from inferry.cli import console
from inferry.cli.options import BundleArgument, Json, Layout, Plan
from inferry.cli.shapes import BatchSizes, Sizes, numbers_of, sizes_of

if TYPE_CHECKING:
    from inferry.core.compiled import Unit
    from inferry.pipeline.compile import Compilation

EXAMPLE: Final = "inferry compile bundle/ --soc Ascend310P3 --precision fp16 --plan plan.json"


Soc = Annotated[str, typer.Option(help="The chip: Ascend and the name that `npu-smi info` prints.")]
Compiler = Annotated[str, typer.Option("--backend", help="Whose compiler.")]
Precision = Annotated[
    str, typer.Option(help="fp32 (as the graph stands), fp16, or mixed: fp16 but for what leaves its range.")
]
Split = Annotated[bool, typer.Option("--split", help="One static om for each shape instead of one with all.")]
KeepFp32 = Annotated[
    list[str] | None,
    typer.Option(help="A node that stays in float32, or all of an operator, Type:Softmax; several times."),
]
OpPrecision = Annotated[
    list[str] | None,
    typer.Option(help="Which implementation a node or Type:OPERATOR takes: NAME=high_precision; several times."),
]
Dtypes = Annotated[
    list[str] | None,
    typer.Option(help="Types of a node's or Type:OPERATOR's inputs and outputs: NAME=float16,float16:float32."),
]
MixList = Annotated[
    list[str] | None,
    typer.Option(help="For mixed, atc's own lists with this change, not what was measured: black+Softmax, white-…"),
]
FusionOff = Annotated[
    list[str] | None, typer.Option(help="A fusion pass of atc to switch off; may be given several times.")
]
Fp16Inputs = Annotated[bool, typer.Option("--fp16-inputs", help="The om takes its float inputs in half precision.")]
Aipp = Annotated[bool, typer.Option("--aipp", help="The om takes pictures as uint8 and normalises them itself.")]
Emulate = Annotated[
    bool, typer.Option("--emulate/--no-emulate", help="Measure on this processor what fp16 does to the answers.")
]
Measured = Annotated[
    Path | None, typer.Option("--data", help="Data set on which that is measured; default: the family's probes.")
]
Most = Annotated[int | None, typer.Option("--limit", min=1, help="Most samples of it; default: 32 of all lengths.")]
Force = Annotated[bool, typer.Option("--force", help="Compile again what is there already.")]


@console.verb
def command(
    bundle: BundleArgument,
    soc: Soc = "",
    backend: Compiler = "ascend",
    precision: Precision = "fp32",
    plan: Plan = None,
    sizes: Sizes = None,
    batch_sizes: BatchSizes = None,
    split: Split = False,
    keep_fp32: KeepFp32 = None,
    op_precision: OpPrecision = None,
    dtypes: Dtypes = None,
    mix_list: MixList = None,
    fusion_off: FusionOff = None,
    fp16_inputs: Fp16Inputs = False,
    aipp: Aipp = False,
    emulate: Emulate = True,
    data: Measured = None,
    limit: Most = None,
    layout: Layout = None,
    force: Force = False,
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
        kind=layout,
    )
    with console.all_or_nothing():
        made = compile_bundle(open_bundle(bundle), options, force=force, emulate=emulate, tell=_tell)
    _finish(made, as_json=as_json)


def _finish(made: "Compilation", *, as_json: bool) -> None:
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
        count = f"{len(made.problems)} problem{'' if len(made.problems) == 1 else 's'}"
        console.out.print(f"[bold red]atc would refuse this:[/] {count}; nothing was written")
        return
    for unit in made.compiled.units:
        shapes = f"{len(unit.gears)} gears" if len(unit.gears) > 1 else "one shape"
        console.out.print(f"{unit.stem}: {shapes}: {_result(unit)}")
    for reading in made.readings:
        for said in (*reading.warnings, *map(str, reading.problems)):
            typer.echo(said)
    for note in made.notes:
        console.out.print(console.escape(note))
    console.out.print(_ending(made, folder))


def _result(unit: "Unit") -> str:
    if unit.om is not None:
        return unit.om
    if unit.returncode is None:
        return "not compiled"
    if unit.returncode == 0:
        return "no om, although atc's exit code is 0"
    return f"atc failed (exit code {unit.returncode})"


def _ending(made: "Compilation", folder: str) -> str:
    if made.cached:
        return f"it was compiled before, and nothing ran (--force compiles again): {folder}"
    if made.kept:
        return (
            f"[bold red]atc failed;[/] what was compiled before stays in {folder}\nall that atc printed now:"
            f" {folder}/atc.failed.log"
        )
    if made.failed:
        return f"[bold red]atc failed;[/] all it printed: {folder}/atc.log"
    if made.ran:
        return f"compiled: {folder}"
    return (
        "[yellow]atc is not on the PATH: nothing was compiled.[/] On a machine with CANN give the same command again,"
        f"\nor, where Inferry is not installed, run {folder}/atc.sh"
    )
