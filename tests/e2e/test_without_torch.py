"""The whole way works where torch and transformers are not installed."""

import json
import subprocess
import sys

# Imports fail and the distributions are unknown, as on a machine that never had them.
WITHOUT = """
import importlib.metadata, runpy, sys
from importlib.abc import MetaPathFinder

HIDDEN = {"torch", "transformers"}

class Hide(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

version = importlib.metadata.version

def visible(name):
    if name in HIDDEN:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)

importlib.metadata.version = visible
sys.meta_path.insert(0, Hide())
runpy.run_module("inferry", run_name="__main__", alter_sys=True)
"""


def run_without_torch(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_whole_run_says_that_the_original_was_not_compared(repository, tmp_path):
    examples = repository / "examples" / "speech"
    arguments = ("--checkpoint", str(examples / "wav2vec2"), "--data", str(examples / "clips"), "--limit", "3")
    screen = run_without_torch("run", "wav2vec2", *arguments, "--output", str(tmp_path / "run"))
    assert "not compared:" in screen
    assert "torch" in screen
    assert "WER" in screen
    first, *others = json.loads((tmp_path / "run" / "bundle" / "parity.json").read_text(encoding="utf-8"))["hops"]
    assert not first["compared"]
    assert "pip install" in first["reason"]
    assert all(hop["compared"] and hop["passed"] for hop in others)


def test_doctor_says_what_is_missing():
    findings = {row["name"]: row for row in json.loads(run_without_torch("doctor", "--json"))}
    assert findings["backend onnxruntime"]["ok"]
    assert not findings["reference"]["ok"]
    assert "pip install" in findings["reference"]["detail"]
