"""Description files of single operators (``--singleop``).

Source: "Single-Operator Description File" in the ATC documentation, and the codes of GE's table of errors.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from inferry.ascend.atc_problem import Problem

_FIX = 'write [{"op": "Add", "input_desc": [{"format": "ND", "shape": [3], "type": "int32"}], "output_desc": […]}]'


def singleop_problems(text: str) -> list[Problem]:
    """What is wrong with the JSON file: its form, and of each operator its name, its tensors and its attributes."""
    try:
        operators = json.loads(text)
    except ValueError as error:
        return [Problem("E10025", f"--singleop: no JSON ({error})", _FIX)]
    if not isinstance(operators, list) or not all(isinstance(operator, dict) for operator in operators):
        return [Problem("E10025", "--singleop: not a list of operators", _FIX)]
    return [problem for operator in operators for problem in _operator(operator)]


def _operator(operator: Mapping[str, Any]) -> Iterator[Problem]:
    name = operator.get("op")
    if not _is_name(name):
        yield Problem("E10026", "--singleop: an operator has no type", 'add "op": the type in Ascend\'s words')
        name = "without a type"
    for side in ("input_desc", "output_desc"):
        rows = operator.get(side)
        if not isinstance(rows, list):
            yield Problem("E10027", f"--singleop: the operator {name} has no list {side}", _FIX)
            continue
        for index, row in enumerate(rows):
            if wrong := [key for key, check in _TENSOR.items() if not isinstance(row, dict) or not check(row.get(key))]:
                found = f"--singleop: {wrong[0]} of {side} {index} of the operator {name} is missing or none"
                yield Problem("E10027", found, _FIX)
    for attribute in operator.get("attr") or ():
        yield from _attribute(attribute, str(name))


def _attribute(attribute: object, name: str) -> Iterator[Problem]:
    row = attribute if isinstance(attribute, dict) else {}
    if not _is_name(row.get("name")):
        yield Problem("E10029", f"--singleop: an attribute of the operator {name} has no name", 'add "name"')
    elif not _is_name(row.get("type")) or "value" not in row:
        found = f"--singleop: the attribute {row['name']} of the operator {name} has no type or no value"
        yield Problem("E10030", found, 'add "type" and "value"')


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(size, int) for size in value)


_TENSOR = {"format": _is_name, "shape": _is_shape, "type": _is_name}
