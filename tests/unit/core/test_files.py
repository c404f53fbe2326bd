import hashlib

import pytest

from inferry.core.files import atomic_folder, sha256_of, to_json_text, write_atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_hash_is_that_of_the_whole_file(tmp_path):
    content = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_nan_is_refused_and_text_stays_readable():
    assert to_json_text({"a": "é"}) == '{\n  "a": "é"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json_text(float("nan"))


def test_a_text_is_replaced_whole(tmp_path):
    write_atomic(tmp_path / "a", "old")
    write_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert names(tmp_path) == ["a"]


def test_a_folder_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "target"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("x")
        assert not target.exists()
    assert (target / "a").read_text() == "x"
    assert target.stat().st_mode & 0o777 == 0o755
    assert names(target.parent) == ["target"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path, error, existing):
    target = tmp_path / "target"
    if existing:
        target.mkdir()
        (target / "old").write_text("old")
    with pytest.raises(error), atomic_folder(target) as folder:  # noqa: PT012 -- the block is the subject
        (folder / "half").write_text("half")
        raise error
    assert names(tmp_path) == (["target"] if existing else [])
    assert not existing or (target / "old").read_text() == "old"


def test_an_existing_folder_is_replaced(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").touch()
    with atomic_folder(target) as folder:
        (folder / "new").touch()
        assert names(target) == ["old"]
    assert names(target) == ["new"]
    assert names(tmp_path) == ["target"]
