import json
import os
from dataclasses import replace

import pytest

from inferry.core.compiled import CACHE, FILE, Compiled, Unit, find_compiled, read_compiled, renew, write_compiled
from inferry.core.errors import BundleError
from inferry.core.files import sha256_of
from inferry.core.specs import TensorSpec

GEARS = ({"batch": 1, "sizes": {"tokens": 32}}, {"batch": 4, "sizes": {"tokens": 32}})


def artifact(folder, *, om="model.om"):
    folder.mkdir(parents=True)
    unit = Unit("model", GEARS, ("atc", "--model=m.onnx"))
    if om:
        (folder / om).write_bytes(b"om")
        unit = replace(unit, om=om, returncode=0, size=2, sha256=sha256_of(folder / om))
    made = Compiled(
        folder=folder,
        backend="ascend",
        device="Ascend310P3",
        precision="fp16",
        model_sha256="ab",
        bundle="cd",
        inputs=(TensorSpec("ids", "int64", ("batch", "tokens")),),
        outputs=(TensorSpec("logits", "float32", ("batch", 3)),),
        units=(unit,),
        tools={"inferry": "1"},
    )
    write_compiled(made)
    return made


def test_an_artifact_reads_back_as_it_was_written(tmp_path):
    made = artifact(tmp_path / "key")
    assert read_compiled(tmp_path / "key") == made
    assert made.key == "key"


def test_an_artifact_may_move_with_its_bundle(tmp_path):
    made = artifact(tmp_path / "key")
    (tmp_path / "key").rename(tmp_path / "other")
    assert read_compiled(tmp_path / "other") == replace(made, folder=tmp_path / "other")


def test_an_artifact_is_complete_once_its_om_is_there(tmp_path):
    made = artifact(tmp_path / "key")
    assert made.is_complete
    (tmp_path / "key" / "model.om").unlink()
    assert not made.is_complete
    assert not artifact(tmp_path / "written", om=None).is_complete


def test_an_artifact_knows_what_became_of_its_files(tmp_path):
    made = artifact(tmp_path / "key")
    assert made.damage() is None
    (tmp_path / "key" / "model.om").write_bytes(b"mo")
    assert made.is_complete, "the size alone does not tell"
    assert made.damage() == "the content of model.om is not what was compiled (sha256)"
    (tmp_path / "key" / "model.om").write_bytes(b"o")
    assert not made.is_complete
    assert made.damage() == "model.om has 1 bytes, not 2"
    (tmp_path / "key" / "model.om").unlink()
    assert made.damage() == "model.om is not there"
    assert made.is_made
    written = artifact(tmp_path / "written", om=None)
    assert (written.is_made, written.damage()) == (False, "model is not there")


def test_an_older_artifact_without_sizes_is_held_to_its_files_being_there(tmp_path):
    folder = artifact(tmp_path / "key").folder
    row = json.loads((folder / FILE).read_text(encoding="utf-8"))
    del row["units"][0]["size"], row["units"][0]["sha256"]
    (folder / FILE).write_text(json.dumps(row), encoding="utf-8")
    (folder / "model.om").write_bytes(b"another")
    assert read_compiled(folder).is_complete
    assert read_compiled(folder).damage() is None
    (folder / "model.om").unlink()
    assert not read_compiled(folder).is_complete


def test_an_artifact_becomes_the_newest_again(tmp_path):
    made = {name: artifact(tmp_path / CACHE / "ascend" / name) for name in ("a", "b")}
    for place, name in enumerate("ab"):
        os.utime(made[name].folder / FILE, ns=(place, place))
    assert renew(made["b"]) is False
    assert renew(made["a"]) is True
    assert [found.key for found in find_compiled(tmp_path / "model.onnx", "ascend")] == ["b", "a"]


def test_all_artifacts_of_a_backend_are_found_and_the_newest_comes_last(tmp_path):
    model = tmp_path / "model.onnx"
    assert find_compiled(model, "ascend") == ()
    folder = tmp_path / CACHE / "ascend"
    for place, name in enumerate(("b", "a", "c")):
        artifact(folder / name)
        os.utime(folder / name / FILE, ns=(place, place))
    artifact(folder / ".d.unfinished.tmp")
    artifact(tmp_path / CACHE / "tensorrt" / "e")
    assert [found.key for found in find_compiled(model, "ascend")] == ["b", "a", "c"]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {**row, "schema": 99},
        lambda row: {name: value for name, value in row.items() if name != "units"},
        lambda row: {**row, "units": [{"stem": "model"}]},
        lambda row: {**row, "inputs": 3},
        lambda row: [row],
    ],
)
def test_a_broken_artifact_is_named(tmp_path, change):
    folder = tmp_path / CACHE / "ascend" / "key"
    artifact(folder)
    row = json.loads((folder / FILE).read_text(encoding="utf-8"))
    (folder / FILE).write_text(json.dumps(change(row)), encoding="utf-8")
    with pytest.raises(BundleError, match=f"{FILE}.*(schema 99|broken).*remove .*key"):
        find_compiled(tmp_path / "model.onnx", "ascend")


def test_a_folder_without_a_description_is_no_artifact(tmp_path):
    (tmp_path / CACHE / "ascend" / "half").mkdir(parents=True)
    assert find_compiled(tmp_path / "model.onnx", "ascend") == ()
    with pytest.raises(BundleError, match="is broken"):
        read_compiled(tmp_path / CACHE / "ascend" / "half")
