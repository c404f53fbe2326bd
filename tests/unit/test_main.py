"""The entry point."""

import sys

import pytest

from inferry.__main__ import main


class Impatient:
    """Presses Ctrl-C while the verbs are imported."""

    def find_spec(self, name, path=None, target=None):
        if name == "inferry.cli.main":
            raise KeyboardInterrupt


def test_ctrl_c_during_the_imports_shows_no_traceback(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "inferry.cli.main", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Impatient(), *sys.meta_path])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
