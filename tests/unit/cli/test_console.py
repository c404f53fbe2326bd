import errno
import io
import re

import pytest
import typer
from rich.console import Console

from inferry.cli import console
from inferry.core.errors import UsageError
from inferry.pipeline.engine import Tally


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("no [such] thing"), 2, "error: no [such] thing"),
        (OSError(errno.ENOSPC, "No space left on device", "run/answers"), 1, "error: run/answers: No space left"),
        (OSError("the disk is gone"), 1, "error: the disk is gone"),
    ],
)
def test_the_worlds_faults_are_sentences_with_exit_codes(error, code, said, capsys):
    @console.verb
    def failing() -> None:
        raise error

    with pytest.raises(typer.Exit) as exit_:
        failing()
    assert exit_.value.exit_code == code
    assert said in capsys.readouterr().err


def test_a_bug_keeps_its_traceback():
    @console.verb
    def buggy() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        buggy()


@pytest.fixture
def screen(monkeypatch):
    """A wide terminal that keeps what it is given."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    monkeypatch.setattr(console, "err", screen)
    return screen


@pytest.mark.parametrize(
    ("audio", "said"), [(80.0, r" 4\.0 audio s/s "), (0.0, r" 2\.0 samples/s ")], ids=["sounds", "pictures"]
)
def test_progress_is_what_was_planned(screen, monkeypatch, audio, said):
    """A picture is planned with more regions than it turns out to have: the bar must reach its end all the same."""
    monkeypatch.setattr(Tally, "elapsed", 20.0)
    tally = Tally(total=60, done=50, resumed=10, total_units=400, done_units=400, valid_units=40, padded_units=40)
    tally.audio_seconds = audio
    with console.progress_bar(quiet=False) as show:
        show(tally)
    shown = screen.file.getvalue()
    assert "50/60" in shown
    assert re.search(said, shown)
    assert "0:00:00 left" in shown, "all that was planned is done"


def test_nobody_watches_a_file(monkeypatch):
    monkeypatch.setattr(console, "err", Console(file=io.StringIO()))
    with console.progress_bar(quiet=False) as show:
        assert show is None
