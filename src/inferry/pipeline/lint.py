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


@dataclass(frozen=True)
class _Model:
    """What the model's file tells: its facts, or why there are none, and whether atc would refuse it."""

    facts: GraphFacts | None = None
    unread: str = ""
    problems: tuple[Problem, ...] = ()


def lint_atc(arguments: Sequence[str], soc: str | None = None, *, look: bool = True) -> Linted:
    """Every problem of an atc command line; nothing of it needs CANN, and nothing is compiled.

    Args:
        arguments: As a shell hands them to atc, with or without its name.
        soc: The chip; None for the command's own ``--soc_version``.
        look: Whether to look for the model's file, seen from the current folder; one that is missing, or is no ONNX
            model, is a problem then.

    Raises:
        UsageError: There is no command line.
    """
    if not arguments:
        raise UsageError("there is no command line: write atc's own options behind --")
    command = parse_command(arguments)
    model = _read_model(command) if look else _Model(unread="the model's file was not looked for")
    return Linted((*lint(command, model.facts, soc), *model.problems), model.unread)


def _read_model(command: Command) -> _Model:
    name = command.get("model")
    if not name:
        return _Model(unread="the command names no model")
    if not Path(name).is_file():
        fix = "check the path, and from which folder the command runs; --no-model checks the command line alone"
        return _refused("E10001", f"there is no file {name} here", fix)
    if command.get("framework") != _ONNX:
        return _Model(unread=f"{name} is not said to be ONNX (--framework=5)")
    fix = "export the model again, or fetch the whole file"
    try:
        facts = file_facts(Path(name))
    except Exception as error:  # noqa: BLE001 -- a broken file makes the parser raise nearly anything
        return _refused("E13005", f"{name} cannot be read as ONNX ({type(error).__name__}: {error})", fix)
    if not facts.outputs:  # An empty file is a valid message of protobuf.
        return _refused("E13005", f"{name} cannot be read as ONNX (it has no graph with an output)", fix)
    return _Model(facts)


def _refused(code: str, found: str, fix: str) -> _Model:
    return _Model(unread=found, problems=(Problem(code, found, fix),))
