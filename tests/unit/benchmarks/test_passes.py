import re

import onnx
import pytest
from onnx import parser

CASTS = """<ir_version: 8, opset_import: ["": 17]> g (int32[b, t] x) => (y) {
    a = Cast <to = 7> (x)
    b = Cast <to = 1> (a)
    y = Identity (b)
}"""


@pytest.fixture
def passes(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import passes

    return passes


def test_every_variant_is_timed_at_every_size(passes, tmp_path, monkeypatch, capsys):
    onnx.save(parser.parse_model(CASTS), tmp_path / "in.onnx")
    sizes = ("--sizes", "b=1,t=5", "--sizes", "b=2,t=900")
    variants = ("--passes", "merge-casts", "--passes", "merge-casts,clean-up")
    monkeypatch.setattr("sys.argv", ["passes.py", f"{tmp_path}/in.onnx", *sizes, *variants, "--rounds", "2"])
    assert passes.main() == 0
    shown = capsys.readouterr().out
    assert "merge-casts,clean-up: 2 matches, 0.0e+00 apart" in shown
    assert re.findall(r"^(b=\S+, t=\S+): (.+): [\d.]+ \(", shown, re.MULTILINE) == [
        (case, name)
        for case in ("b=1, t=5", "b=2, t=900")
        for name in ("no pass", "merge-casts", "merge-casts,clean-up")
    ]
    assert shown.count("no pass: ") == 3
    assert shown.count("ratio 1.000 (1.000 to 1.000)") >= 2
