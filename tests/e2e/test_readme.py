"""The README's examples run as they stand, in their order, in a fresh folder beside the shipped examples."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MARK = "<!-- runs -->"
BLOCK = re.compile(re.escape(MARK) + r"\n```(\w+)\n(.*?)```", re.DOTALL)
CLIPS = 24
VERBS_IN_README = {
    *("doctor", "models", "run", "export", "verify", "plan", "infer", "evaluate"),
    *("compare", "bench", "report", "predict", "optimize", "lint-atc"),
    *("compile", "pack", "preprocess"),
}


@pytest.fixture(scope="module")
def blocks(repository) -> list[tuple[str, str]]:
    """Language and code of each block that is marked."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    found = BLOCK.findall(text)
    assert len(found) == text.count(MARK), "a mark stands right before each block that it is for"
    return found


@pytest.fixture(scope="module")
def workspace(repository, blocks, tmp_path_factory) -> Path:
    """The folder after all blocks have run."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").symlink_to(repository / "examples")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    programs = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-W", "error", "-c"]}
    for language, code in blocks:
        done = subprocess.run(
            [*programs[language], code], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"this block of the README failed:\n{code}\n{done.stdout}{done.stderr}"
    return folder


def texts(run: Path) -> list[str]:
    lines = (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def test_every_verb_and_python_are_shown(blocks):
    shell = "\n".join(code for language, code in blocks if language == "bash")
    shown = set(re.findall(r"^inferry ([\w-]+)", shell, re.MULTILINE))
    assert shown == VERBS_IN_README
    assert {language for language, _ in blocks} == {"bash", "python"}


@pytest.mark.slow
def test_the_examples_leave_what_the_readme_says(workspace):
    for bundle in ("bundle", "bundle-ds2", "bundle-python", "wav2vec2-run/bundle"):
        found = {path.name for path in (workspace / bundle).iterdir()}
        assert found == {"manifest.json", "model.onnx", "parity.json", "processor.json", "vocab.json"}
    files = {"run.json", "predictions.jsonl", "errors.jsonl", "metrics.json", "timings.json", "work", "report.html"}
    for run, more in (("wav2vec2-run", {"bundle"}), ("run", {"parity.json", "bench.json"})):
        assert {path.name for path in (workspace / run).iterdir()} == files | more
        assert len(texts(workspace / run)) == CLIPS


@pytest.mark.slow
def test_the_examples_of_pictures_and_questions(workspace):
    assert {path.name for path in (workspace / "bundle-vqa").iterdir()} == {
        *("manifest.json", "model.onnx", "detector.onnx", "parity.json"),
        *("processor.json", "answers.txt", "tokenizer.json"),
    }
    pictures, questions = (
        {rate["name"]: rate["percent"] for rate in json.loads((workspace / run / "metrics.json").read_text())["rates"]}
        for run in ("beit-run", "vqa-run")
    )
    assert pictures["top-1"] > 85
    assert questions["VQA score"] > 50
    assert (workspace / "regions.png").stat().st_size > 1000


@pytest.mark.slow
def test_the_examples_write_captions(workspace):
    captions = sorted((workspace / "subtitles").iterdir())
    assert [path.name for path in captions] == [f"1-1-000{index}.srt" for index in range(4)]
    assert all(" --> " in path.read_text(encoding="utf-8") for path in captions)


@pytest.mark.slow
def test_the_examples_compare_and_measure(workspace):
    ledger, bench = (json.loads((workspace / "run" / name).read_text()) for name in ("parity.json", "bench.json"))
    assert [hop["passed"] for hop in ledger["hops"]] == [True, True, True]
    assert [one["baseline"] for one in bench["configurations"]] == [False, True]


@pytest.mark.slow
def test_the_three_ways_give_the_same_answers(workspace):
    """One command, steps with a plan of several shapes and batch size 4, and Python."""
    answers = [(workspace / run / "predictions.jsonl").read_bytes() for run in ("wav2vec2-run", "run", "run-python")]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.slow
def test_the_examples_recognise_speech(workspace):
    score = json.loads((workspace / "run" / "metrics.json").read_text(encoding="utf-8"))["score"]
    assert score["cer"]["rate"] < 25


@pytest.mark.slow
def test_without_the_original_the_bundle_says_so(workspace):
    first, *others = json.loads((workspace / "bundle-ds2" / "parity.json").read_text(encoding="utf-8"))["hops"]
    assert not first["compared"]
    assert "--no-reference" in first["reason"]
    assert all(hop["compared"] and hop["passed"] for hop in others)
