"""What atc prints, in plain sentences.

Sources: the table of error codes of GE (``base/err_msg``, CANN 8.5), and output that users report: ``E19010: message``
(Ascend/ModelZoo-PyTorch issue 6), ``E20001: [PID: 1] time message`` (Tlntin/qwen-ascend-llm issue 11) and
``[PID: 1] time Title(EE1001): message`` (hw-native-sys/PTOAS pull request 836).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from inferry.ascend.atc_problem import Problem

SUCCESS: Final = "ATC run success"
"""The line that atc ends with where an om was written."""

UNKNOWN: Final = "atc"
"""In the place of a code where atc printed none."""

_DETAILS: Final = "the details are in the newest plog file under $HOME/ascend/log"
_SHAPE: Final = "give every input of the graph its sizes: name:d,d;name2:d,d"
_GEARS: Final = "give each gear once, all with the same number of positive sizes, 2 to 100 gears"
_OPERATOR: Final = "rewrite the operator with `inferry optimize`, or install a CANN whose ops package has it"
_FILE: Final = "check that the file exists, can be read, and has no spaces in its path"
_SINGLE: Final = "correct the description file of --singleop"
_KERNEL: Final = (
    "an operator could not be compiled for this chip: try --precision fp16 or mixed, other sizes, or --fusion-off for "
    f"the fusion pass that the log names; {_DETAILS}"
)
_SOC: Final = "name the chip as `npu-smi info` prints it, behind Ascend, and install the ops package of that chip"

FIXES: Final[Mapping[str, str]] = {
    "E10001": "use a value that this CANN and this chip support",
    "E10002": _SHAPE,
    "E10003": "write the gears as --input_shape needs them: one size for each -1, in its order",
    "E10004": "give the option that is named",
    "E10005": "write true or false",
    "E10006": "write 0 or 1",
    "E10007": "write --framework=5 for ONNX",
    "E10008": "add --weight, or write --framework=5 for ONNX",
    "E10009": "keep one of --dynamic_batch_size, --dynamic_image_size, --dynamic_dims and --input_shape_range",
    "E10010": "write --log=debug, info, warning, error or null",
    "E10011": "give positive sizes, or -1 together with gears",
    "E10012": "use --dynamic_dims, which takes inputs without sizes",
    "E10013": "give a smaller number",
    "E10014": "give a number where one is expected",
    "E10016": "name an input of the graph; `inferry lint-atc` lists them",
    "E10017": "name an input of the graph, and no other node",
    "E10018": "keep -1 for the first size, or use --dynamic_dims",
    "E10019": "keep -1 for height and width, or use --dynamic_dims",
    "E10020": "write --dynamic_image_size=height,width;height,width",
    "E10021": "use a shorter path",
    "E10022": "add the name of the file to the path",
    "E10023": _FILE,
    "E10024": _FILE,
    "E10025": _SINGLE,
    "E10026": _SINGLE,
    "E10027": _SINGLE,
    "E10029": _SINGLE,
    "E10030": _SINGLE,
    "E10031": "write -1 as the first size of the batched inputs",
    "E10032": "check that the file is valid JSON",
    "E10034": "leave the input of AIPP out of --input_fp16_nodes",
    "E10035": "give two gears or more, or compile a static model",
    "E10036": "give fewer gears; 100 at most, 256 on the 950",
    "E10037": _GEARS,
    "E10038": _GEARS,
    "E10039": _GEARS,
    "E10040": "write -1 instead of a range, or leave the gears out",
    "E10041": "check with `inferry verify BUNDLE` that the model is whole, with its weights beside it",
    "E10045": "give one size for each -1 in every gear of --dynamic_dims",
    "E10046": "give one size for each -1 in every gear of --dynamic_dims",
    "E10047": "keep one of the two options",
    "E10048": "write --input_shape_range=name:[1~8,3,-1]",
    "E10049": "give as many sizes as the input has in the graph",
    "E10050": "give a size within the range of --input_shape",
    "E10052": "correct the AIPP file",
    "E10054": "give the option; put values with ; into quotation marks",
    "E10055": "leave out what this chip does not support",
    "E10056": "keep one of the two options",
    "E10057": "use --mode=6 with --om alone",
    "E10058": "give the option a value",
    "E10410": _FILE,
    "E10501": "source set_env.sh of CANN, so that ASCEND_OPP_PATH is set, and install the ops package of the chip",
    "E11017": "name outputs of the graph in --out_nodes",
    "E13000": _FILE,
    "E13001": _FILE,
    "E13002": "use a shorter path",
    "E13003": _FILE,
    "E13004": "check that the disk is not full and that the folder may be written",
    "E13005": "check with `inferry verify BUNDLE` that the model is whole",
    "E13009": "give every node of the graph a name of its own",
    "E13010": _OPERATOR,
    "E13014": _OPERATOR,
    "E13023": "compile fewer gears, or add --external_weight=1",
    "E13024": "source set_env.sh of CANN in a new shell",
    "E14001": _KERNEL,
    "E16001": "export the model again: the graph lacks what atc names",
    "E16002": _OPERATOR,
    "E16004": "export the model again: it has no graph",
    "E16005": "convert the model to one version of each domain with `inferry optimize`",
    "E19000": _DETAILS,
    "E19010": _OPERATOR,
    "E19999": f"atc gave up without a reason: {_DETAILS}",
    "E20001": _KERNEL,
    "E20007": _KERNEL,
    "E40000": _KERNEL,
    "E40021": _KERNEL,
    "EZ3002": _KERNEL,
    "EZ3003": _KERNEL,
    "EZ9999": _KERNEL,
}
"""What to do about each code, in our words."""

_ENGINES: Final = (
    ("E10", "correct the option that is named"),
    ("E2", _KERNEL),
    ("E4", _KERNEL),
    ("E8", _KERNEL),
    ("E9", _KERNEL),
    ("EB", _KERNEL),
    ("EZ", _KERNEL),
    ("EE", _SOC),
)
"""By the beginning of other codes: options, graph engine, operator compiler, operators, runtime."""

_STAMP: Final = r"(?:\[PID: *\d+\]\s*\S+\s+)?"
_LINE: Final = re.compile(
    rf"^\s*{_STAMP}(?:\w+\()?(?P<code>[EW][0-9A-Z]\d{{4}})\)?:\s*{_STAMP}(?P<text>.*?)\s*$", re.MULTILINE
)
_NO_PARSER: Final = re.compile(r"No parser is registered for Op \[(?P<node>[^\]]*?), optype \[(?P<type>[^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Reading:
    """What an output of atc says.

    Attributes:
        success: Whether atc says that it wrote an om.
        problems: Its errors, each once.
        warnings: Its warnings, each once.
    """

    success: bool
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


def read_log(text: str) -> Reading:
    """The errors in what atc printed.

    An output that names neither success nor an error gives one problem with its last line, so that no failure is
    without words.
    """
    success = SUCCESS in text
    lines = [(match["code"], match["text"]) for match in _LINE.finditer(text)]
    warnings = tuple(dict.fromkeys(f"{code}: {said}" for code, said in lines if code.startswith("W")))
    problems = [_problem(code, said) for code, said in lines if code.startswith("E") and not _NO_PARSER.search(said)]
    problems += _unparsed(text)
    if not success and not problems:
        last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing")
        problems = [Problem(UNKNOWN, f"atc names no error; its last line is: {last}", _DETAILS)]
    return Reading(success, tuple(dict.fromkeys(problems)), warnings)


def _problem(code: str, said: str) -> Problem:
    known = FIXES.get(code) or next((fix for head, fix in _ENGINES if code.startswith(head)), _DETAILS)
    return Problem(code, said.rstrip(".") or "no message", known)


def _unparsed(text: str) -> Iterator[Problem]:
    """One problem for each type of operator, whose nodes atc lists one by one."""
    nodes: dict[str, list[str]] = {}
    for match in _NO_PARSER.finditer(text):
        nodes.setdefault(match["type"], []).append(match["node"])
    for kind, names in nodes.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield Problem("E19010", f"atc cannot read the operator {kind} (node {names[0]}{more})", FIXES["E19010"])
