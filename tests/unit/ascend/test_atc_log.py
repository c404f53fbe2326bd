import re

import pytest

from inferry.ascend.atc_log import FIXES, UNKNOWN, read_log
from inferry.ascend.atc_problem import USAGE

START = "ATC start working now, please wait for a moment.\n...\n"
FAILED = f"{START}ATC run failed, Please check the detail log, Try 'atc --help' for more information\n"
NO_PARSER = "No parser is registered for Op [{}, optype [ai.onnx::11::{}]]."


def test_success_is_what_atc_says_and_nothing_else():
    assert read_log(f"{START}ATC run success, welcome to the next use.\n").success
    assert not read_log(f"{START}done\n").success


FORMS = [
    ("E10016: Opname input specified in --input_shape is not found in the model.", "E10016", "Opname input"),
    ("E20001: [PID: 20] 2025-06-16-13:02:36.801.136 Failed to compile Op [/a/Slice]. (optype: [Slice])", "E20001", "F"),
    ("[PID: 12] 2026-06-18-14:32:57.501.288 Invalid_Argument(EE1001): The argument is invalid.", "EE1001", "The arg"),
    ("EZ9999: Inner Error!", "EZ9999", "Inner Error!"),
    ("        E40000: compile failed", "E40000", "compile failed"),
]


@pytest.mark.parametrize(("line", "code", "begins"), FORMS)
def test_an_error_is_read_in_every_form_that_atc_has_had(line, code, begins):
    read = read_log(f"{FAILED}{line}\n        Solution: Try again.\n        TraceBack (most recent call last):\n")
    (problem,) = read.problems
    assert not read.success
    assert problem.code == code
    assert problem.found.startswith(begins)
    assert "PID" not in problem.found
    assert problem.fix


def test_operators_without_a_parser_are_counted_by_type():
    lines = [NO_PARSER.format("/a", "FindMax"), NO_PARSER.format("/b", "Merge"), NO_PARSER.format("/c", "FindMax")]
    text = "\n  ".join([f"{FAILED}E19010: {lines[0]}", "Solution: Reinstall.", "TraceBack:", *lines[1:]])
    found = [(problem.code, problem.found) for problem in read_log(text).problems]
    assert found == [
        ("E19010", "atc cannot read the operator ai.onnx::11::FindMax (node /a and 1 more)"),
        ("E19010", "atc cannot read the operator ai.onnx::11::Merge (node /b)"),
    ]


def test_an_error_that_stands_twice_is_told_once():
    assert len(read_log(f"{FAILED}E10054: a\nE10054: a\nE10054: b\n").problems) == 2


def test_warnings_are_no_errors():
    read = read_log(f"{START}W11001: Op a does not hit the library.\nATC run success\n")
    assert read.success
    assert read.problems == ()
    assert read.warnings == ("W11001: Op a does not hit the library.",)


@pytest.mark.parametrize(("text", "last"), [("", "nothing"), (f"{START}Segmentation fault\n\n", "Segmentation fault")])
def test_a_failure_without_a_code_still_has_words(text, last):
    (problem,) = read_log(text).problems
    assert problem.code == UNKNOWN
    assert problem.found.endswith(last)


@pytest.mark.parametrize("code", ["E10999", "E22222", "E31000", "EB0001"])
def test_a_code_that_is_not_known_still_has_a_fix(code):
    (problem,) = read_log(f"{code}: something\n").problems
    assert (problem.code, problem.found) == (code, "something")
    assert problem.fix


def test_every_code_that_the_linter_gives_has_a_fix(repository):
    texts = [path.read_text(encoding="utf-8") for path in (repository / "src/inferry/ascend").glob("atc_*.py")]
    codes = {code for text in texts for code in re.findall(r'"(E\d{5})"', text)}
    assert len(codes) > 30
    assert codes <= set(FIXES)
    assert USAGE not in FIXES


def test_every_code_of_the_documentation_has_a_fix(shared):
    text = (shared / "reference" / "ascend.md").read_text(encoding="utf-8")
    codes = set(re.findall(r"\bE[Z\d]\d{4}\b", text)) | {f"E100{number}" for number in range(35, 40)}
    assert codes <= set(FIXES)
