import json
import os

import pytest

from inferry.core.errors import UsageError
from inferry.pipeline.output import check_output


def test_a_new_folder_is_not_made_yet(tiny_bundle, tmp_path):
    check_output(tmp_path / "a" / "b", tiny_bundle)
    assert not (tmp_path / "a").exists()


def test_the_run_of_this_bundle_takes_it(tiny_bundle, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"config": {"bundle": tiny_bundle.digest}}))
    check_output(tmp_path, tiny_bundle)
    (tmp_path / "run.json").write_text('{"config": {"bundle": "another"}}')
    with pytest.raises(UsageError, match="a run of another bundle"):
        check_output(tmp_path, tiny_bundle)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_is_refused(tiny_bundle, tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is no folder; choose another --output"):
        check_output(tmp_path / name, tiny_bundle)


def test_a_folder_that_may_not_be_written_is_refused(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="does not allow it"):
        check_output(tmp_path / "new", tiny_bundle)
