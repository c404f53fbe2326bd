"""atc's command lines on the way out, and the script that runs them; `inferry.ascend.atc_command` reads them."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from inferry.ascend.gear_set import GearSet

PRECISIONS: Final[Mapping[str, str]] = {"fp32": "origin", "fp16": "fp16", "mixed": "fp16"}
"""Our names and atc's ``--precision_mode_v2``. Only ``origin`` keeps float32: ``force_fp32`` of the older option lets
matrix operators take float16, as ``cube_fp16in_fp32out`` does (documentation of ``--precision_mode_v2``, CANN 8.0).
Mixed is fp16 but for a list of nodes; atc's own ``mixed_float16`` goes by lists that differ from chip to chip."""

_ONNX: Final = "5"

_HEADER: Final = """\
#!/bin/sh
# Written by Inferry. Compiles the model on a machine that has CANN; source its set_env.sh first.
set -eu
cd -- "$(dirname -- "$0")"
"""


def write_command(
    gears: GearSet, *, model: str, stem: str, soc: str, precision: str, extra: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """What compiles a graph for these gears, word by word.

    Args:
        gears: The shapes; they decide ``input_format``, ``input_shape`` and the option of the gears.
        model: The ONNX file, seen from where atc runs.
        stem: Of the om, which atc writes where it runs.
        soc: ``Ascend310P3``.
        precision: One of `PRECISIONS`.
        extra: Further options without their dashes; they come last and replace what would be written otherwise.
    """
    options = {
        "model": model,
        "framework": _ONNX,
        "output": stem,
        "soc_version": soc,
        **gears.atc_options(),
        "precision_mode_v2": PRECISIONS[precision],
        # Without it nothing but the code of an error is printed.
        "log": "error",
        **(extra or {}),
    }
    return ("atc", *(f"--{name}={value}" for name, value in options.items()))


def write_script(commands: Sequence[Sequence[str]]) -> str:
    """The text of ``atc.sh``: runs from any folder, stops at the first command that fails with its exit code."""
    return _HEADER + "".join(f"\n{_lines(command)}\n" for command in commands)


def _lines(command: Sequence[str]) -> str:
    """One option a line, each quoted for the shell where it needs it."""
    return " \\\n  ".join(shlex.quote(word) for word in command)
