"""The architecture, as tests."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import inferry

SOURCES = sorted(Path(inferry.__file__).parent.rglob("*.py"))
LONGEST_FILE = 400
LONGEST_FUNCTION = 50

# Written in pieces, so that this file does not contain what it forbids.
FORBIDDEN = ("/" + "work/", "/tmp/" + "env", "/" + "root/", "file:" + "///", "/home" + "/")


def tracked(repository):
    """Files of the repository that are or would be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    return [path for name in listed.splitlines() if (path := repository / name).is_file()]


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_layers_hold(repository):
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    pytest.importorskip("importlinter")
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions}
    # A command's parameters are its options, one a line; they are declarations and no logic.
    if path.parent.name == "cli":
        long = {node.name: node.end_lineno - node.body[0].lineno + 1 for node in functions}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_FUNCTION} == {}


def test_the_pages_own_files_are_short(repository):
    own = [path for kind in ("css", "js") for path in repository.glob(f"src/**/*.{kind}") if ".min." not in path.name]
    assert own
    assert {path.name for path in own if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE} == set()


def test_functions_are_short_on_the_whole():
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    )
    assert lengths[len(lengths) // 2] <= 14


def test_the_public_names_are_pinned():
    expected = ["Against", "Answer", "Audio", "AudioFile", "BenchOptions", "Classification", "Decoding", "Image"]
    expected += ["ImageFile", "InferryError", "Model", "Question", "Ranked", "RegionFile", "Regions", "Transcription"]
    expected += ["Word", "bench", "compare", "evaluate", "export", "infer", "load", "plan", "run"]
    assert inferry.__all__ == expected
    assert all(getattr(inferry, name) is not None for name in expected)
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        _ = inferry.train


def test_importing_is_light():
    heavy = {"torch", "transformers", "onnxruntime", "onnx", "onnx_ir", "soundfile", "rich", "typer"}
    done = run_python(f"import inferry, sys; print(sorted({heavy!r} & set(sys.modules)))")
    assert done.stdout == "[]\n", done.stderr


def test_help_needs_neither_torch_nor_a_runtime():
    code = (
        "import sys\n"
        "from inferry.cli.main import main\n"
        "sys.argv = ['inferry', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "loaded = {'torch', 'transformers', 'onnxruntime'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert "Usage: inferry" in done.stdout


def test_no_path_of_a_machine_is_tracked(repository):
    found = []
    for path in tracked(repository):
        content = path.read_bytes()
        if b"\0" in content:
            continue
        found += [f"{path.relative_to(repository)}: {word}" for word in FORBIDDEN if word.encode() in content]
    assert found == []


def test_nothing_is_unfinished():
    marks = re.compile("TO" + "DO|FIX" + "ME")
    assert [path.name for path in SOURCES if marks.search(path.read_text(encoding="utf-8"))] == []
