import json
import shutil

import pytest

from inferry.core.bundle import Manifest, open_bundle, verify, write_manifest
from inferry.core.errors import BundleError, UsageError
from inferry.core.specs import TensorSpec


def describe():
    return Manifest(
        family="wav2vec2",
        task="speech-recognition",
        opset=18,
        inputs=(TensorSpec("x", "float32", ("batch", "samples")),),
        outputs=(TensorSpec("y", "float32", ("batch", "frames", 3), length="n"), TensorSpec("n", "int64", ("batch",))),
        checkpoint={"name": "tiny", "sha256": "00"},
        tools={"inferry": "1"},
        files={},
        notes=("a decision",),
    )


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "bundle"
    (path / "deep").mkdir(parents=True)
    for name, text in {"model.onnx": "graph", "processor.json": '{"a": 1}', "vocab.json": "[]", "deep/x": "y"}.items():
        (path / name).write_text(text)
    write_manifest(path, describe())
    return path


def edit_manifest(folder, **changes):
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_written_bundle_opens_and_verifies(folder):
    bundle = open_bundle(folder)
    assert bundle.manifest == Manifest.from_json(bundle.manifest.to_json())
    assert set(bundle.manifest.files) == {"model.onnx", "processor.json", "vocab.json", "deep/x"}
    assert bundle.size == sum((folder / name).stat().st_size for name in bundle.manifest.files)
    assert bundle.text_files() == {"vocab.json": "[]"}
    assert bundle.model == folder / "model.onnx"
    found = verify(folder)
    assert found.to_json() == {"path": str(folder), "files": 4, "bytes": bundle.size, "ok": True, "problems": []}


@pytest.mark.parametrize("name", ["model.onnx", "processor.json", "vocab.json", "deep/x"])
def test_one_changed_byte_is_found(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[0] ^= 1
    (folder / name).write_bytes(content)
    (problem,) = verify(folder).problems
    assert problem.startswith(f"{name}: its sha256")


def test_all_problems_are_listed(folder):
    (folder / "model.onnx").write_text("a longer graph")
    (folder / "stranger").touch()
    (folder / "compiled" / "onnxruntime").mkdir(parents=True)
    (folder / "compiled" / "onnxruntime" / "cache").touch()
    assert verify(folder).problems == (
        "model.onnx: 14 bytes, the manifest says 5",
        "stranger: not named in the manifest",
    )


def test_a_missing_file_is_named(folder):
    (folder / "vocab.json").unlink()
    (folder / "deep" / "x").unlink()
    with pytest.raises(BundleError, match=r"lacks deep/x, vocab\.json"):
        open_bundle(folder)


def test_a_further_graph_must_be_among_the_files(folder):
    edit_manifest(folder, parts={"detector": "../elsewhere.onnx"})
    (folder.parent / "elsewhere.onnx").touch()
    with pytest.raises(BundleError, match=r"lacks \.\./elsewhere\.onnx"):
        open_bundle(folder)
    edit_manifest(folder, parts={"detector": "deep/x"})
    assert open_bundle(folder).manifest.parts == {"detector": "deep/x"}


def test_another_schema_is_refused(folder):
    edit_manifest(folder, schema=99)
    with pytest.raises(BundleError, match="schema 99, this version of Inferry reads 2"):
        open_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"schema": 2}', '{"schema": 2, "family": "a"}'])
def test_a_broken_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="export the bundle again"):
        open_bundle(folder)


def test_no_bundle_at_all(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        open_bundle(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no manifest\.json in it"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_broken_json_inside(folder, text):
    (folder / "processor.json").write_text(text)
    with pytest.raises(BundleError, match=r"processor\.json"):
        open_bundle(folder).read_json("processor.json")


def test_text_that_is_not_utf8(folder):
    (folder / "vocab.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(BundleError, match="inferry verify"):
        open_bundle(folder).text_files()


def test_the_digest_covers_what_can_change_an_answer(folder, tmp_path):
    digest = open_bundle(folder).digest
    (folder / "parity.json").write_text("{}")
    assert write_manifest(folder, describe()).digest == digest
    copy = tmp_path / "moved"
    shutil.copytree(folder, copy)
    assert open_bundle(copy).digest == digest
    (folder / "vocab.json").write_text("[1]")
    assert write_manifest(folder, describe()).digest != digest
