import errno

import pytest
import typer

from inferry.cli import console
from inferry.core.errors import UsageError


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
