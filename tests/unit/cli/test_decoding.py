from pathlib import Path

import pytest
from typer.testing import CliRunner

from inferry.cli.decoding import decoding_of
from inferry.cli.main import app
from inferry.core.errors import UsageError
from inferry.core.protocols import Decoding


def test_the_options_of_the_command_line_become_a_decoding():
    assert decoding_of(None, None, Decoding.alpha, Decoding.beta, None, Decoding.hotword_weight) == Decoding()
    given = decoding_of(8, Path("a.arpa"), 0.1, 0.2, ["ONE", "TWO THREE"], 3.0)
    assert given == Decoding(8, Path("a.arpa"), 0.1, 0.2, ("ONE", "TWO THREE"), 3.0)
    assert not given.greedy


def test_a_weight_of_nothing_is_refused():
    for alpha, beta in ((0.7, Decoding.beta), (Decoding.alpha, 1.0)):
        with pytest.raises(UsageError, match="name one with --lm"):
            decoding_of(8, None, alpha, beta, ["ONE"], Decoding.hotword_weight)
    with pytest.raises(UsageError, match="name one with --hotword"):
        decoding_of(8, Path("a.arpa"), 0.7, 1.0, [], 3.0)


@pytest.mark.parametrize("option", [["--lm", "nowhere.arpa"], ["--max-seconds", "0.5"], ["--beam", "0"]])
def test_what_cannot_be_meant_is_a_usage_error(tiny, tiny_bundle, tmp_path, option):
    data = tiny.write_data(tmp_path / "data", 1)
    arguments = ["infer", str(tiny_bundle.path), "--data", str(data), "--output", str(tmp_path / "run"), *option]
    assert CliRunner().invoke(app, arguments).exit_code == 2
    assert not (tmp_path / "run").exists()
