"""Every layout is recognised, and every bad data set or entry is named."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from inferry.core.errors import DatasetError
from inferry.core.samples import AudioFile, Dataset, Rejected, Sample
from inferry.datasets import LAYOUTS, open_dataset


def _put(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def _samples(dataset: Dataset) -> list[Sample]:
    return [item for item in dataset.items if isinstance(item, Sample)]


def _rejected(dataset: Dataset) -> list[Rejected]:
    return [item for item in dataset.items if isinstance(item, Rejected)]


# -------------------------------------------------------------------------------------------------- recognition

CHAPTER = {"1/2/1-2.trans.txt": "1-2-0 A B\n1-2-1 C\n", "1/2/1-2-0.flac": "", "1/2/1-2-1.flac": ""}
MANIFEST = json.dumps({"root_path": ".", "samples": [{"wav_path": "a.wav", "transcript_path": "a.txt"}]})
RECOGNISED: dict[str, tuple[dict[str, str | bytes], str, str]] = {
    "LibriSpeech root": (
        {"README.TXT": "x", "SPEAKERS.TXT": "y"} | {f"LS/{k}": v for k, v in CHAPTER.items()},
        "",
        "librispeech",
    ),
    "LibriSpeech chapter": (CHAPTER, "1/2", "librispeech"),
    "V3 manifest": ({"m.json": MANIFEST}, "m.json", "manifest-v3"),
    "AN4 wav": ({"wav/a.wav": "", "txt/a.txt": "A"}, "", "an4"),
    "AN4 flac": ({"flac/a.flac": "", "txt/a.txt": "A"}, "", "an4"),
    "AN4 below": ({"x/y/wav/a.wav": "", "x/y/txt/a.txt": "A"}, "", "an4"),
    "AN4 original": ({"wav/t/f/a.sph": "", "etc/an4_test.transcription": "A (a)\n"}, "", "an4"),
    "JSON lines": ({"m.jsonl": '{"id": "a", "audio": "a.wav"}\n'}, "m.jsonl", "jsonl"),
    "folder": ({"x/a.OGG": ""}, "", "audio-folder"),
    "sound": ({"a.mp3": ""}, "a.mp3", "files"),
    "list": ({"list.txt": "a.wav\n"}, "list.txt", "files"),
}


@pytest.mark.parametrize("name", RECOGNISED)
def test_a_layout_is_recognised(tmp_path, name):
    files, where, kind = RECOGNISED[name]
    dataset = open_dataset(_put(tmp_path, files) / where)
    assert dataset.kind == kind
    assert _samples(dataset)
    assert not _rejected(dataset)
    assert open_dataset(tmp_path / where, kind) == dataset


BAD_DATASETS: dict[str, tuple[dict[str, str | bytes], str, str | None, str]] = {
    "missing path": ({}, "none", None, "does not exist"),
    "NUL in the path": ({}, "a\0b", None, "a.*b (does not exist|cannot be read)"),
    "empty folder": ({}, "", None, "is no data set that is known. Looked for:\n  - librispeech"),
    "folder without sounds": ({"a.txt": "x", "b.raw": "y"}, "", None, "no data set that is known"),
    "unknown kind": ({"a.wav": ""}, "", "kaldi", "kind kaldi is unknown. Available: librispeech, an4, manifest-v3"),
    "two layouts": (CHAPTER | {"wav/a.wav": "", "txt/a.txt": ""}, "", None, "looks like librispeech and an4"),
    "LibriSpeech transcript": (CHAPTER, "1/2/1-2.trans.txt", None, "no data set that is known"),
    "unknown file": ({"a.xyz": "x"}, "a.xyz", None, "no data set that is known"),
    "kind that does not fit": (
        {"a.wav": ""},
        "",
        "librispeech",
        "holds no transcript file. Looked for a folder with .*trans.txt",
    ),
    "AN4 that is none": ({"a.wav": ""}, "", "an4", "not laid out like AN4. Looked for"),
    "empty manifest": ({"m.json": '{"samples": []}'}, "m.json", None, "has no samples"),
    "manifest of broken JSON": ({"m.json": '{"samples": ['}, "m.json", None, "no JSON manifest: Expecting value"),
    "manifest that is no object": ({"m.json": '["samples"]'}, "m.json", None, "no list of samples"),
    "manifest whose samples are no list": ({"m.json": '{"samples": 3}'}, "m.json", None, "no list of samples"),
    "manifest whose root is no text": ({"m.json": '{"root_path": 1, "samples": []}'}, "m.json", None, "root_path"),
    "manifest nested too deep": ({"m.json": '{"samples":' + "[" * 200_000}, "m.json", None, "no JSON manifest"),
    "manifest that is a folder": ({"m.json/x": ""}, "m.json", "manifest-v3", "no JSON manifest: .*directory"),
    "empty JSON lines": ({"m.jsonl": "\n\n"}, "m.jsonl", None, "has no samples"),
    "only bad lines": ({"m.jsonl": "nonsense\n"}, "m.jsonl", None, "All 1 entries are bad.*\n.*line 1: no valid JSON"),
    "JSON lines that are a folder": ({"m.jsonl/x": ""}, "m.jsonl", "jsonl", "cannot be read: Is a directory"),
    "list that is no text": ({"list.txt": b"\xff\xfe\x00"}, "list.txt", None, "cannot be read as UTF-8 text"),
    "empty list": ({"list.txt": "\n"}, "list.txt", None, "has no samples"),
    "empty transcripts": ({"a.trans.txt": "\n"}, "", None, "has no samples"),
}


@pytest.mark.parametrize("name", BAD_DATASETS)
def test_a_bad_data_set_is_refused_with_its_reason(tmp_path, name):
    files, where, kind, reason = BAD_DATASETS[name]
    _put(tmp_path, files)
    with pytest.raises(DatasetError, match=f"(?s){reason}"):
        open_dataset(tmp_path / where, kind)


def test_a_dangling_link_is_called_so(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(DatasetError, match="link to something that is missing"):
        open_dataset(tmp_path / "link")


def test_no_files_and_a_kind_for_many_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="list of files is empty"):
        open_dataset([])
    with pytest.raises(DatasetError, match="2 paths cannot be read as an4"):
        open_dataset([tmp_path / "a.wav", tmp_path / "b.wav"], "an4")


def test_kinds_are_distinct():
    assert len({layout.kind for layout in LAYOUTS}) == len(LAYOUTS)


# ------------------------------------------------------------------------------------------------- bad entries

TWINS = {"1/1-0.flac": "", "1/x.trans.txt": "1-0 A\n", "2/1-0.flac": "", "2/x.trans.txt": "1-0 B\n"}


def _manifest(*samples: object) -> dict[str, str | bytes]:
    return {"m.json": json.dumps({"samples": [*samples, {"wav_path": "good.wav"}]})}


def _lines(*lines: str | bytes) -> dict[str, str | bytes]:
    good = b'{"id": "good", "audio": "good.wav"}'
    return {"m.jsonl": b"\n".join([good, *(x.encode() if isinstance(x, str) else x for x in lines)])}


def _chapter(line: str | bytes, **sounds: str) -> dict[str, str | bytes]:
    text = b"good A\n" + (line.encode() if isinstance(line, str) else line) + b"\n"
    return {"c/c.trans.txt": text, "c/good.flac": ""} | {f"c/{name}.flac": content for name, content in sounds.items()}


BAD_ENTRIES: dict[str, tuple[dict[str, str | bytes], str, str, str]] = {
    "line without words": (_chapter("a", a=""), "", "a", "line 2: expected an id and words"),
    "utterance without sound": (_chapter("a B"), "", "a", "no a.flac or .wav lies beside"),
    "id that is not UTF-8": (_chapter(b"\xff B"), "", "\\\\xff", "no .*xff.flac"),
    "utterance listed twice": (_chapter("good C"), "", "good", "used twice.*line 1.*line 2.*first is kept"),
    "utterance in two chapters": (TWINS, "", "1-0", "used twice"),
    "flac and wav of one utterance": (_chapter("") | {"c/good.wav": ""}, "", "good", "used twice"),
    "manifest entry that is no object": (_manifest(3), "m.json", r"m.json:samples\[0\]", "expected an object"),
    "manifest entry without sound": (_manifest({"text": 1}), "m.json", r"m.json:samples\[0\]", "found the keys: text"),
    "manifest entry of a wrong type": (_manifest({"wav_path": 1}), "m.json", r"m.json:samples\[0\]", "wav_path"),
    "manifest entry with empty path": (_manifest({"wav_path": ""}), "m.json", r"m.json:samples\[0\]", "wav_path"),
    "manifest transcript of a wrong type": (
        *(_manifest({"wav_path": "a.wav", "transcript_path": 1}), "m.json"),
        *(r"m.json:samples\[0\]", "transcript_path is no text"),
    ),
    "manifest path twice": (_manifest({"wav_path": "good.wav"}), "m.json", "good", r"samples\[0\].*samples\[1\]"),
    "transcript without recording": ({"wav/a.wav": "", "txt/a.txt": "", "txt/b.txt": ""}, "", "b", "has no recording"),
    "transcription line without name": (
        *({"wav/a.wav": "", "etc/t.transcription": "A (a)\nB\n"}, ""),
        *("t.transcription:2", "line 2: expected WORDS"),
    ),
    "transcription without recording": (
        *({"wav/a.wav": "", "etc/t.transcription": "A (a)\nB (b)\n"}, ""),
        *("b", "names a recording that is missing: b"),
    ),
    "transcription that is not UTF-8": (
        *({"wav/a.wav": "", "etc/t.transcription": b"\xff"}, ""),
        *(".*t.transcription", "cannot be read as UTF-8"),
    ),
    "malformed JSON line": (_lines('{"id": '), "m.jsonl", "m.jsonl:2", "line 2: no valid JSON"),
    "JSON line that is not UTF-8": (_lines(b'{"id": "\xff"}'), "m.jsonl", "m.jsonl:2", "no valid JSON in UTF-8"),
    "JSON line that is no object": (_lines("", "[1]"), "m.jsonl", "m.jsonl:3", "expected an object, found list"),
    "JSON line nested too deep": (_lines("[" * 200_000), "m.jsonl", "m.jsonl:2", "recursion"),
    "JSON line without id": (_lines('{"audio": "a"}'), "m.jsonl", "m.jsonl:2", "id missing; found the keys: audio"),
    "JSON line without anything": (_lines("{}"), "m.jsonl", "m.jsonl:2", "id and audio missing; .*keys: none"),
    "JSON id of a wrong type": (_lines('{"id": true, "audio": "a"}'), "m.jsonl", "m.jsonl:2", "id must be text"),
    "JSON id that is empty": (_lines('{"id": " ", "audio": "a"}'), "m.jsonl", "m.jsonl, line 2", "the id is empty"),
    "JSON audio of a wrong type": (_lines('{"id": "a", "audio": 1}'), "m.jsonl", "m.jsonl:2", "audio must be"),
    "JSON text of a wrong type": (_lines('{"id":"a","audio":"a","text":1}'), "m.jsonl", "m.jsonl:2", "text must be"),
    "JSON start of a wrong type": (_lines('{"id":"a","audio":"a","start":"0"}'), "m.jsonl", "m.jsonl:2", "start must"),
    "JSON start that is negative": (_lines('{"id":"a","audio":"a","start":-1}'), "m.jsonl", "m.jsonl:2", "from 0 on"),
    "JSON start that is NaN": (_lines('{"id":"a","audio":"a","start":NaN}'), "m.jsonl", "m.jsonl:2", "finite"),
    "JSON end that is huge": (
        _lines('{"id":"a","audio":"a","end":1' + "0" * 400 + "}"),
        "m.jsonl",
        "m.jsonl:2",
        "int too large",
    ),
    "JSON start after end": (
        _lines('{"id":"a","audio":"a","start":2,"end":1}'),
        "m.jsonl",
        "m.jsonl:2",
        "not before end",
    ),
    "JSON id twice": (_lines('{"id":"good","audio":"b.wav"}'), "m.jsonl", "good", "used twice.*line 1.*line 2"),
    "path listed twice": ({"list.txt": "a.wav\na.wav\n"}, "list.txt", "a", "used twice"),
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_a_bad_entry_is_rejected_and_the_rest_is_kept(tmp_path, name):
    files, where, key, reason = BAD_ENTRIES[name]
    dataset = open_dataset(_put(tmp_path, files) / where)
    (row,) = _rejected(dataset)
    assert row.stage == "dataset"
    assert row.reason.isprintable()
    with pytest.raises(AssertionError, match=f"^{key}$"):
        raise AssertionError(row.id)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(row.reason)
    assert len(_samples(dataset)) == 1


def test_a_rejected_row_stands_in_its_place(tmp_path):
    lines = ['{"id": "a", "audio": "a"}', "nonsense", '{"id": "b", "audio": "b"}']
    dataset = open_dataset(_put(tmp_path, {"m.jsonl": "\n".join(lines)}) / "m.jsonl")
    assert [item.id for item in dataset.items] == ["a", "m.jsonl:2", "b"]


# -------------------------------------------------------------------------------------------------- references


def test_a_sound_that_no_transcript_names_is_kept_without_reference(tmp_path):
    files = CHAPTER | {"1/2/1-2-9.wav": "", "1/3/1-3-0.flac": ""}
    found = {sample.id: sample.reference for sample in _samples(open_dataset(_put(tmp_path, files)))}
    assert found == {"1-2-0": "A B", "1-2-1": "C", "1-2-9": None, "1-3-0": None}


def test_a_librispeech_line_that_is_not_utf8_gives_no_reference(tmp_path):
    dataset = open_dataset(_put(tmp_path, _chapter(b"a \xff", a="")))
    assert [(sample.id, sample.reference) for sample in _samples(dataset)] == [("good", "A"), ("a", None)]


@pytest.mark.parametrize("text", [None, b"\xff\xfe"])
@pytest.mark.parametrize(
    ("files", "where", "transcript"),
    [
        (_manifest({"wav_path": "a.wav", "transcript_path": "a.txt"}), "m.json", "a.txt"),
        ({"wav/a.wav": "", "txt/b.txt": ""}, "", "txt/a.txt"),
        ({"a.wav": ""}, "", "a.txt"),
        ({"a.wav": ""}, "a.wav", "a.txt"),
    ],
)
def test_a_transcript_that_cannot_be_read_gives_no_reference(tmp_path, text, files, where, transcript):
    _put(tmp_path, files | ({} if text is None else {transcript: text}))
    sample = next(each for each in _samples(open_dataset(tmp_path / where)) if each.id == "a")
    assert sample.reference is None


def test_a_transcript_that_is_a_pipe_or_a_folder_does_not_block(tmp_path):
    _put(tmp_path, {"a.wav": "", "b.wav": "", "b.txt/x": ""})
    os.mkfifo(tmp_path / "a.txt")
    assert [sample.reference for sample in _samples(open_dataset(tmp_path))] == [None, None]


def test_manifest_and_an4_remove_line_ends_and_folders_join_lines(tmp_path):
    text = "\ufeffONE \r\nTWO\r\n"
    _put(tmp_path, {"m.json": MANIFEST, "a.wav": "", "a.txt": text, "x/wav/a.wav": "", "x/txt/a.txt": text})
    assert _samples(open_dataset(tmp_path / "m.json"))[0].reference == "ONE TWO"
    assert _samples(open_dataset(tmp_path / "x"))[0].reference == "ONE TWO"
    assert _samples(open_dataset(tmp_path / "a.wav"))[0].reference == "ONE TWO"


def test_a_json_line_gives_reference_and_segment(tmp_path):
    line = '\ufeff{"id": 7, "audio": "x/a.wav", "text": "Grüß Gott", "start": 1, "end": 2.5, "duration": 9}'
    (sample,) = open_dataset(_put(tmp_path, {"m.jsonl": line}) / "m.jsonl").items
    assert sample == Sample("7", AudioFile(tmp_path / "x/a.wav", 1.0, 2.5), "Grüß Gott")


# ---------------------------------------------------------------------------------------------------------- ids


def test_ids_of_a_folder_are_paths_without_suffix_unless_these_clash(tmp_path):
    files = dict.fromkeys(("b/c.wav", "b/c.flac", "a.wav", "b/d.wav", "d.wav", ".hidden/e.wav", "._a.wav"), "")
    dataset = open_dataset(_put(tmp_path, files))
    assert [item.id for item in dataset.items] == ["a", "d", "b/c.flac", "b/c.wav", "b/d"]


def test_ids_of_a_manifest_are_stems_unless_these_clash(tmp_path):
    names = ["x/a.wav", "y/a.wav", "b.wav", "z/c.wav", "z/c.flac"]
    dataset = open_dataset(
        _put(tmp_path, {"m.json": json.dumps({"samples": [{"wav_path": n} for n in names]})}) / "m.json"
    )
    assert [item.id for item in dataset.items][:5] == ["x/a", "y/a", "b", "z/c.wav", "z/c.flac"]


def test_ids_and_paths_can_be_printed_and_written(tmp_path):
    (tmp_path / "a\x1b[31m\n.wav").touch()
    (tmp_path / os.fsdecode(b"b\xff.wav")).touch()
    (tmp_path / "ü.wav").touch()
    dataset = open_dataset(tmp_path)
    assert [item.id for item in dataset.items] == [r"a\x1b[31m\n", r"b\udcff", "ü"] or not dataset.items
    assert all(item.id.isprintable() and item.id.encode() for item in dataset.items)
    assert all(sample.source.path.exists() for sample in _samples(dataset))


def test_several_files_keep_their_order_and_sound_files_need_not_exist(tmp_path):
    paths = [tmp_path / "b.wav", tmp_path / "a.wav", tmp_path / "x" / "a.wav"]
    dataset = open_dataset(paths)
    assert dataset.kind == "files"
    assert [sample.source.path for sample in _samples(dataset)] == paths
    assert [item.id for item in dataset.items] == ["b", str(tmp_path / "a"), str(tmp_path / "x" / "a")]


# ------------------------------------------------------------------------------------------------------ folders


def test_links_to_folders_are_followed_once_and_dangling_links_are_kept_as_samples(tmp_path):
    _put(tmp_path, {"a/x.wav": ""})
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone.wav").symlink_to("nowhere")
    assert [item.id for item in open_dataset(tmp_path).items] == ["gone", "a/x"]


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("librispeech", {"2/x.trans.txt": "a A", "2/a.flac": "", "1/x.trans.txt": "b B"}),
        ("audio-folder", {"a.wav": "", "1/b.wav": ""}),
        ("an4", {"wav/a.wav": "", "wav/1/b.wav": "", "txt/a.txt": ""}),
    ],
)
def test_a_folder_that_cannot_be_listed_is_rejected(tmp_path, monkeypatch, kind, files):
    _put(tmp_path, files)
    real: Callable[[str], object] = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "1":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    dataset = open_dataset(tmp_path, kind)
    (row,) = _rejected(dataset)
    assert "the folder cannot be read: Permission denied" in row.reason
    assert [sample.id for sample in _samples(dataset)] == ["a"]


def test_a_transcript_file_that_cannot_be_read_is_rejected_and_its_sounds_are_kept(tmp_path):
    _put(tmp_path, CHAPTER | {"1/3/1-3-0.flac": ""})
    (tmp_path / "1" / "3" / "x.trans.txt").symlink_to("nowhere")
    dataset = open_dataset(tmp_path)
    (row,) = _rejected(dataset)
    assert "transcript file cannot be read" in row.reason
    assert len(_samples(dataset)) == 3


def test_a_thousand_files_open_in_order(tmp_path):
    for folder in range(10):
        (tmp_path / f"{folder:02}").mkdir()
        for name in range(100):
            (tmp_path / f"{folder:02}" / f"{name:04}.wav").touch()
    ids = [item.id for item in open_dataset(tmp_path).items]
    assert len(ids) == 1_000
    assert ids == sorted(ids)


# ---------------------------------------------------------------------------------------------------- real data

REAL = [
    ("librispeech", "librispeech", 98, 98),
    ("librispeech/test-clean", "librispeech", 11, 11),
    ("an4_test/manifest_v3.json", "manifest-v3", 130, 130),
    ("an4_test", "an4", 130, 130),
    ("an4_test/flac", "audio-folder", 130, 0),
    ("an4_train_calib", "an4", 100, 100),
    ("speech_misc", "audio-folder", 6, 0),
    ("speech_misc/jfk.flac", "files", 1, 0),
]


@pytest.mark.parametrize(("where", "kind", "count", "references"), REAL)
def test_real_data_opens_whole(shared, where, kind, count, references):
    dataset = open_dataset(shared / "data" / where)
    samples = _samples(dataset)
    assert (dataset.kind, len(samples), len(dataset.items)) == (kind, count, count)
    assert sum(sample.reference is not None for sample in samples) == references
    assert all(sample.source.path.is_file() for sample in samples)


@pytest.mark.parametrize(("folder", "where"), [("librispeech", ""), ("an4_test", "manifest_v3.json"), ("an4_test", "")])
def test_real_references_are_those_of_the_publisher(shared, folder, where):
    rows = json.loads((shared / "data" / folder / "manifest.json").read_text())["files"]
    expected = {row.get("id", Path(row["file"]).stem): row["transcript"] for row in rows if "transcript" in row}
    found = {sample.id: sample.reference for sample in _samples(open_dataset(shared / "data" / folder / where))}
    assert found
    assert found == {key: expected[key] for key in found}
