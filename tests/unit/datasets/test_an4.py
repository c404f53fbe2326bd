"""AN4 as CMU ships it, and the original's cleaning of transcripts."""

import json

import pytest

from inferry.core.samples import Sample
from inferry.datasets import clean_an4_transcript, open_dataset


def test_transcripts_are_cleaned_as_the_original_does(shared):
    pairs = json.loads((shared / "golden" / "deepspeech" / "metrics.json").read_text())["an4_process_transcript"]
    assert len(pairs) >= 8
    assert [clean_an4_transcript(line) for line, _ in pairs] == [expected for _, expected in pairs]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("<s> RUBOUT G M E F THREE NINE </s> (an251-fash-b)\n", "RUBOUT G M E F THREE NINE"),
        ("stop it (x)\n", "TOP IT"),
        ("STOP IT (x)\n", "STOP IT"),
        ("HALF <noise> DAY (y)", "HALF"),
        ("SEVEN s> (x)", "SEVEN S>"),
        ("", ""),
    ],
)
def test_the_quirks_of_the_original_are_kept(line, expected):
    assert clean_an4_transcript(line) == expected


@pytest.fixture
def original(tmp_path):
    for speaker, name in [("fcaw", "an406-fcaw-b"), ("fcaw", "an407-fcaw-b"), ("fjlp", "an416-fjlp-b")]:
        folder = tmp_path / "wav" / "an4test_clstk" / speaker
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.sph").touch()
    (tmp_path / "etc").mkdir()
    lines = "RUBOUT (an406-fcaw-b)\n<s> GO </s> (an407-fcaw-b)\n"
    (tmp_path / "etc" / "an4_test.transcription").write_text(lines)
    (tmp_path / "etc" / "an4_train.transcription").write_text("<s> YES </s> (an251-fash-b)\n")
    return tmp_path


def test_the_original_layout_takes_its_transcripts_from_etc(original):
    found = [(item.id, item.reference) for item in open_dataset(original).items if isinstance(item, Sample)]
    assert found == [("an406-fcaw-b", "RUBOUT"), ("an407-fcaw-b", "GO"), ("an416-fjlp-b", None)]


def test_the_transcription_of_another_split_rejects_nothing(original):
    assert all(isinstance(item, Sample) for item in open_dataset(original).items)


def test_one_recording_in_several_formats_is_one_sample(tmp_path):
    for name in ("wav/a.wav", "flac/a.flac", "flac/b.flac", "sph/c.sph", "txt/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    items = open_dataset(tmp_path).items
    assert [item.source.path.name for item in items] == ["a.wav", "b.flac", "c.sph"]


def test_names_that_clash_get_their_path(tmp_path):
    for split in ("train", "test"):
        for name in ("wav/a.wav", "txt/a.txt"):
            (tmp_path / split / name).parent.mkdir(parents=True)
            (tmp_path / split / name).write_text(split)
    items = open_dataset(tmp_path).items
    assert [(item.id, item.reference) for item in items] == [("test/a", "test"), ("train/a", "train")]
