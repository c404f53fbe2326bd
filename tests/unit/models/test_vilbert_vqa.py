import pytest

from inferry.checkpoints import torchvision_detector
from inferry.checkpoints.torchvision_detector import WEIGHT_FILE
from inferry.core.errors import CheckpointError, DownloadError, UsageError
from inferry.core.protocols import ExportOptions
from inferry.models import registry, vilbert_vqa
from inferry.models.huggingface import tokenizer_preset
from inferry.models.registry import get_recipe, read_checkpoint

RECIPE = get_recipe("vilbert-vqa")
SIDES = {"short_side": 800, "long_side": 1333}


@pytest.fixture(scope="module")
def files(asking, tmp_path_factory):
    """An archive, one without a tokenizer, and a detector. Read only."""
    folder = tmp_path_factory.mktemp("files")
    asking.write_archive(folder / "whole.tar.gz")
    asking.write_archive(folder / "bare.tar.gz", tokenizer=False)
    asking.write_archive(folder / "local.tar.gz", tokenizer=False, name="../models/bert")
    asking.write_tokenizer(folder / "bert")
    asking.write_detector(folder / "detector.pth")
    return folder


@pytest.fixture
def fetched(monkeypatch):
    """What was fetched, as (preset, option), and the folders that stand in for it, by the preset's name."""
    calls, folders = [], {}

    def fetch(preset, family, option="--checkpoint"):
        calls.append((preset, option))
        if preset.name not in folders:
            raise DownloadError("no connection")
        return folders[preset.name]

    monkeypatch.setattr(vilbert_vqa, "fetch", fetch)
    monkeypatch.setattr(registry, "fetch", fetch)
    return calls, folders


@pytest.fixture
def released(files, tmp_path, asking, monkeypatch):
    """A folder with an archive and, beside it, a detector under the released name."""
    monkeypatch.setattr(torchvision_detector, "CONFIG", asking.DETECTOR)
    for source, name in (("whole.tar.gz", "archive.tar.gz"), ("detector.pth", WEIGHT_FILE)):
        (tmp_path / name).write_bytes((files / source).read_bytes())
    return tmp_path


def read(path, **options):
    return read_checkpoint(RECIPE, path, ExportOptions(**options))


def test_an_archive_brings_what_it_has(files, fetched):
    checkpoint = read(files / "whole.tar.gz")
    assert checkpoint.parts == {}
    assert checkpoint.processor["input"].keys() == {"kind", "feature_size", "max_tokens", "vocab_size"}
    assert "no region detector is in this bundle" in checkpoint.notes[-1]
    assert "--detector fasterrcnn_resnet50_fpn_coco" in checkpoint.notes[-1]
    assert fetched[0] == []


def test_a_detector_s_file(files, asking):
    checkpoint = read(files / "whole.tar.gz", detector=str(files / "detector.pth"))
    assert checkpoint.parts["detector"].config == asking.DETECTOR
    assert checkpoint.processor["input"]["detector"] == SIDES
    assert not any("no region detector" in note for note in checkpoint.notes)


def test_a_folder_with_both(released):
    checkpoint = read(released)
    assert checkpoint.path == released / "archive.tar.gz"
    assert checkpoint.parts["detector"].path == released / WEIGHT_FILE
    assert read(released, detector="none").parts == {}
    assert read(released / "archive.tar.gz").parts == {}


def test_a_name_is_fetched_with_its_detector(released, fetched):
    (preset,) = RECIPE.presets
    calls, folders = fetched
    folders[preset.name] = released
    assert read(preset.name).parts.keys() == {"detector"}
    assert calls == [(preset, "--checkpoint")]
    assert [file.name for file in preset.files] == ["vilbert-vqa-pretrained.2021-03-15.tar.gz", WEIGHT_FILE]
    assert all(file.required for file in preset.files)
    assert preset.files[1].sha256 == WEIGHT_FILE.removesuffix(".pth").rpartition("-")[2]


def test_a_detector_is_fetched_by_name(released, fetched, files):
    calls, folders = fetched
    folders["fasterrcnn_resnet50_fpn_coco"] = released
    checkpoint = read(files / "whole.tar.gz", detector="fasterrcnn_resnet50_fpn_coco")
    assert checkpoint.parts["detector"].path == released / WEIGHT_FILE
    ((preset, option),) = calls
    assert option == "--detector"
    assert [file.url for file in preset.files] == [f"https://download.pytorch.org/models/{WEIGHT_FILE}"]


def test_no_such_detector(files):
    with pytest.raises(
        UsageError, match=r"no region detector at typo\.pth; expected a \.pth file, fasterrcnn_resnet50"
    ):
        read(files / "whole.tar.gz", detector="typo.pth")
    with pytest.raises(UsageError, match=r"no region detector at ''; expected"):
        read(files / "whole.tar.gz", detector="")


def test_a_detector_with_other_features_is_refused(files, asking, tmp_path):
    path = asking.write_detector(tmp_path / "other.pth", representation_size=20)
    with pytest.raises(CheckpointError, match=r"gives 20 features a region, the network of whole\.tar\.gz takes 24"):
        read(files / "whole.tar.gz", detector=str(path))


def test_a_tokenizer_folder(files, fetched):
    checkpoint = read(files / "bare.tar.gz", tokenizer=str(files / "bert"))
    assert checkpoint.files["tokenizer.json"] == read(files / "whole.tar.gz").files["tokenizer.json"]
    assert fetched[0] == []


def test_a_tokenizer_is_fetched_by_name(files, fetched):
    calls, folders = fetched
    folders["someone/bert"] = folders["tiny-uncased"] = files / "bert"
    read(files / "whole.tar.gz", tokenizer="someone/bert")
    checkpoint = read(files / "bare.tar.gz")
    assert [(preset.name, option) for preset, option in calls] == [
        ("someone/bert", "--tokenizer"),
        ("tiny-uncased", "--tokenizer"),
    ]
    assert "the archive holds no tokenizer; that of tiny-uncased, which it names, was taken" in checkpoint.notes


def test_an_archive_without_tokenizer_and_without_a_name(files, fetched):
    with pytest.raises(CheckpointError, match=r"it holds no tokenizer .*--tokenizer"):
        read(files / "local.tar.gz")
    assert fetched[0] == []


def test_no_such_tokenizer(files, fetched):
    with pytest.raises(UsageError, match=r"no tokenizer folder at \./typo"):
        read(files / "whole.tar.gz", tokenizer="./typo")
    vocabulary = str(files / "bert" / "vocab.txt")
    with pytest.raises(UsageError, match=r"vocab\.txt is a file: give the folder that it lies in, .*bert, as the"):
        read(files / "whole.tar.gz", tokenizer=vocabulary)
    with pytest.raises(UsageError, match="no tokenizer folder at ''"):
        read(files / "whole.tar.gz", tokenizer="")
    with pytest.raises(DownloadError, match=r"typo is no folder here, so it was taken for a name.*\nno connection"):
        read(files / "whole.tar.gz", tokenizer="typo")


@pytest.mark.parametrize("name", ["", "..", "a/b/c", "/etc/passwd", "../x", "https://x", "a b", "-x"])
def test_what_no_repository_is_called(name):
    assert tokenizer_preset(name) is None


def test_a_tokenizer_s_files():
    preset = tokenizer_preset("bert-base-uncased")
    assert {file.name for file in preset.files} == {
        "config.json",
        "tokenizer_config.json",
        "tokenizer.json",
        "vocab.txt",
    }
    assert {file.repo for file in preset.files} == {"bert-base-uncased"}
