"""The atc linter: what atc would refuse, said before atc runs, with atc's own error codes."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from inferry.ascend.atc_aipp import CODE, AippBlock
from inferry.ascend.atc_command import Command
from inferry.ascend.atc_files import file_problems, read_aipp
from inferry.ascend.atc_gears import gear_problems, gears_of
from inferry.ascend.atc_graph import graph_problems
from inferry.ascend.atc_options import OPTIONS
from inferry.ascend.atc_problem import USAGE, Problem
from inferry.ascend.atc_rules import rule_problems
from inferry.ascend.atc_shapes import input_shapes, is_dynamic_shape, shape_option_problems
from inferry.ascend.atc_soc import NO_SHAPE_RANGE, soc_family, soc_problems
from inferry.core.graph_facts import GraphFacts

SMALL_CHANNELS: Final = 4
"""Most channels of ``--enable_small_channel``."""


def lint(
    command: Command, graph: GraphFacts | None, soc: str | None, *, folder: Path | None = None
) -> tuple[Problem, ...]:
    """Every problem of a command line; of the gears' checks, which build on each other, the first one.

    Nothing of it needs CANN, and nothing runs. Whether ``--model`` and ``--weight`` exist is not looked at.

    Args:
        command: From `parse_command`.
        graph: Of the model; without it names, ranks and operators are not checked.
        soc: The chip that the om is for; None means the command's own ``--soc_version``.
        folder: Where the command will run: configuration files are read from there. None is the current folder.
    """
    chip = soc or command.get("soc_version")
    aipp = read_aipp(command, folder or Path(), chip)
    return (
        *command.problems,
        *_illegal_values(command),
        *_chip(command, soc),
        *rule_problems(command),
        *shape_option_problems(command),
        *gear_problems(command, chip),
        *file_problems(command, folder or Path(), chip, graph),
        *aipp.problems,
        *_aipp_beside(command, aipp.blocks, graph),
        *soc_problems(command, chip),
        *([] if graph is None else graph_problems(command, graph)),
    )


def _illegal_values(command: Command) -> list[Problem]:
    return [
        Problem(OPTIONS[name].code, f"--{name}={value} is not legal", f"use {OPTIONS[name].wanted}")
        for name, value in command.options.items()
        if value and not OPTIONS[name].accepts(value)
    ]


def _chip(command: Command, soc: str | None) -> list[Problem]:
    own = command.get("soc_version")
    if soc and soc_family(soc) is None:
        return [Problem("E10001", f"the chip {soc} is not known", f"use {OPTIONS['soc_version'].wanted}")]
    if soc and own and soc != own:
        return [Problem(USAGE, f"--soc_version={own}, and the chip is {soc}", f"write --soc_version={soc}")]
    chip = soc or own
    if is_dynamic_shape(command) and soc_family(chip) in NO_SHAPE_RANGE:
        found = f"{chip} compiles no dynamic shape without gears"
        return [Problem("E10055", found, "add --dynamic_batch_size or --dynamic_dims, or fixed sizes")]
    return []


def _aipp_beside(command: Command, blocks: Sequence[AippBlock], graph: GraphFacts | None) -> list[Problem]:
    """What an AIPP file asks of the other options and of the graph."""
    names = [value.name for value in graph.inputs] if graph else [entry.name for entry in input_shapes(command).entries]
    half = {name.strip() for name in command.get("input_fp16_nodes").split(";")}
    problems = []
    for block in blocks:
        if block.rank < len(names) and names[block.rank] in half - {""}:
            found = f"the input '{names[block.rank]}' is in --input_fp16_nodes, and AIPP makes it uint8"
            problems.append(Problem("E10034", found, "leave it out of --input_fp16_nodes"))
        if "related_input_name" in block.fields and command.get("framework") != "0":
            found = "related_input_name is for Caffe models only"
            problems.append(Problem(CODE, found, "use related_input_rank"))
        if graph is not None and block.rank >= len(names):
            found = f"related_input_rank: {block.rank}, and the graph has {len(names)} inputs"
            problems.append(Problem(CODE, found, f"use 0 to {len(names) - 1}"))
        if command.get("dynamic_image_size") and not block.is_dynamic and _fixes_the_size(block):
            found = "--dynamic_image_size and a static AIPP with a crop, padding or source size exclude each other"
            problems.append(Problem(CODE, found, "leave crop, padding and src_image_size_w and _h out"))
        problems += _pictures(command, block, _picture(command, block, graph))
    return problems


def _picture(command: Command, block: AippBlock, graph: GraphFacts | None) -> tuple[int, ...]:
    """Channels, height and width of a block's input, 0 where they are open; nothing where it is no picture."""
    entries = input_shapes(command).entries
    names = [value.name for value in graph.inputs] if graph else [entry.name for entry in entries]
    name = names[block.rank] if block.rank < len(names) else ""
    own = {value.name: value.dims for value in graph.inputs} if graph else {}
    given = {entry.name: entry.dims for entry in entries}
    dims: Sequence[object] = given.get(name) or own.get(name) or ()
    if len(dims) != 4:
        return ()
    axes = (3, 1, 2) if command.get("input_format") == "NHWC" else (1, 2, 3)
    sizes = [dims[axis] for axis in axes]
    return tuple(size if isinstance(size, int) and size > 0 else 0 for size in sizes)


def _pictures(command: Command, block: AippBlock, picture: Sequence[int]) -> Iterator[Problem]:
    """What depends on the size of the pictures that a block prepares."""
    channels, height, width = picture or (0, 0, 0)
    if command.get("enable_small_channel") == "1" and block.is_dynamic:
        found = "--enable_small_channel=1 needs a static AIPP"
        yield Problem("E10001", found, "write aipp_mode: static, or leave the option out")
    elif command.get("enable_small_channel") == "1" and channels > SMALL_CHANNELS:
        found = f"--enable_small_channel=1 is for at most {SMALL_CHANNELS} channels, and the pictures have {channels}"
        yield Problem("E10001", found, "leave the option out")
    for axis, size in (("h", height), ("w", width)):
        made = _prepared(block, axis)
        if not block.is_dynamic and made and size and made != size:
            found = f"the AIPP block makes pictures of {axis} {made}, and the input has {size}"
            yield Problem(USAGE, found, f"change src_image_size_{axis}, the crop or the padding so that {size} is left")
    batches = command.get("dynamic_batch_size")
    if block.is_dynamic and re.fullmatch(r"\d{1,9}(,\d{1,9})*,?", batches):
        most = max(size for (size,) in gears_of("dynamic_batch_size", batches))
        # YUV420SP, with three halves of a byte for each pixel, is the smallest form of a coloured picture.
        needed = most * height * width * (3 if channels > 1 else 2) // 2
        if 0 < block.size("max_src_image_size") < needed:
            found = f"max_src_image_size: {block.size('max_src_image_size')} is too small for the largest batch, {most}"
            yield Problem(USAGE, found, f"write batch x height x width x bytes of a pixel, {needed} or more")


def _prepared(block: AippBlock, axis: str) -> int:
    """The height (h) or width (w) that crop and padding leave; 0 where it follows the model's own."""
    size = block.size(f"crop_size_{axis}" if block.on("crop") else f"src_image_size_{axis}")
    edges = ("left", "right") if axis == "w" else ("top", "bottom")
    padding = sum(block.size(f"{edge}_padding_size") for edge in edges) if block.on("padding") else 0
    return size and size + padding


def _fixes_the_size(block: AippBlock) -> bool:
    return any(map(block.on, ("crop", "padding"))) or any(map(block.size, ("src_image_size_w", "src_image_size_h")))
