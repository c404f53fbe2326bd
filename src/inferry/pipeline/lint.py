"""A user's own atc command line, checked against the rules of atc and the model that it names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inferry.ascend.atc_command import Command, parse_command
from inferry.ascend.atc_lint import lint
from inferry.ascend.atc_problem import Problem
from inferry.core.errors import UsageError
from inferry.core.graph_facts import GraphFacts
from inferry.passes.graph_facts import file_facts

_ONNX: Final = "5"
"""Value of atc's ``--framework``."""


@dataclass(frozen=True)
class Linted:
    """What the linter says.

    Attributes:
        problems: In the order in which atc would meet them.
        unread: Why the model was not looked into, so that its names, ranks and operators were not checked; empty if it
            was.
    """

    problems: tuple[Problem, ...]
    unread: str = ""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        rows = [{"code": one.code, "found": one.found, "fix": one.fix} for one in self.problems]
        return {"ok": not rows, "problems": rows, "unread": self.unread}


def lint_atc(arguments: Sequence[str], soc: str | None = None) -> Linted:
    """Every problem of an atc command line; nothing of it needs CANN, and nothing is compiled.

    Args:
        arguments: As a shell hands them to atc, with or without its name.
        soc: The chip; None for the command's own ``--soc_version``.

    Raises:
        UsageError: There is no command line.
    """
    if not arguments:
        raise UsageError("there is no command line: write atc's own options behind --")
    command = parse_command(arguments)
    graph, unread = _read_model(command)
    return Linted(lint(command, graph, soc), unread)


def _read_model(command: Command) -> tuple[GraphFacts | None, str]:
    """Facts of the model, or why there are none."""
    name = command.get("model")
    if not name:
        return None, "the command names no model"
    if command.get("framework") != _ONNX:
        return None, f"{name} is not said to be ONNX (--framework=5)"
    if not Path(name).is_file():
        return None, f"there is no file {name} here"
    try:
        return file_facts(Path(name)), ""
    except Exception as error:  # noqa: BLE001 -- a broken file makes the parser raise nearly anything
        return None, f"{name} cannot be read as ONNX ({type(error).__name__}: {error})"
