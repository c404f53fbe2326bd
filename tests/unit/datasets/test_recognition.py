"""No layout takes the folders of another."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from inferry.core.errors import DatasetError
from inferry.datasets import LAYOUTS, open_dataset

QUESTIONS = {"questions": [{"image_id": 71, "question": "What is it?", "question_id": 0}]}
ANNOTATIONS = {"annotations": [{"question_id": 0, "answers": [{"answer": "a"}]}]}


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def vqa(folder):
    touch(folder, "val2014/COCO_val2014_000000000071.jpg", "train2014/COCO_train2014_000000000009.jpg")
    (folder / "questions.json").write_text(json.dumps(QUESTIONS))
    (folder / "annotations.json").write_text(json.dumps(ANNOTATIONS))


def vqa_regions(folder):
    touch(folder, "regions/000000000071.npz")
    vqa(folder)


def vqa_tensors(folder):
    for name in ("box_features", "box_coordinates", "box_mask", "token_ids", "mask", "type_ids"):
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "0.npy", np.ones((1, 2), np.int64))


def tensors_in_vqa(folder):
    vqa(folder)
    vqa_tensors(folder / "preprocessed")


FOLDERS = {
    "librispeech": lambda folder: touch(folder, "1/2/1-2.trans.txt", "1/2/1-2-0.flac"),
    "an4": lambda folder: touch(folder, "wav/a.wav", "txt/a.txt"),
    "imagenet-val": lambda folder: touch(folder, "val_label.txt", "val/a.JPEG"),
    "imagenet-any-of": lambda folder: (folder / "manifest.json").write_text('{"files": [{"imagenet_any_of": [1]}]}'),
    "vqa-v2": vqa,
    "vqa-regions": vqa_regions,
    "vqa-tensors": vqa_tensors,
    "audio-folder": lambda folder: touch(folder, "a.wav", "questions.json", "annotations.json"),
    "class-folders": lambda folder: touch(folder, "a/1.jpg", "b/2.jpg", "box_features.npz"),
    "image-folder": lambda folder: (touch(folder, "1.jpg"), (folder / "questions.json").write_text('{"answers": []}')),
}


def specific(path: Path) -> list[str]:
    return [layout.kind for layout in LAYOUTS if not layout.general and layout.detect(path)]


@pytest.mark.parametrize("kind", FOLDERS)
def test_no_folder_is_taken_for_another(tmp_path, kind):
    FOLDERS[kind](tmp_path)
    general = {layout.kind for layout in LAYOUTS if layout.general}
    assert specific(tmp_path) == ([] if kind in general else [kind])
    if kind not in {"librispeech", "imagenet-val", "imagenet-any-of"}:  # empty ones, for their names alone
        assert open_dataset(tmp_path).kind == kind


@pytest.mark.parametrize("here", [True, False])
def test_arrays_for_the_network_are_not_taken_for_regions(tmp_path, monkeypatch, here):
    tensors_in_vqa(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert specific(Path() if here else tmp_path) == ["vqa-v2"]
    assert open_dataset(tmp_path / "preprocessed").kind == "vqa-tensors"


def test_arrays_among_the_questions_are_ambiguous(tmp_path):
    vqa(tmp_path)
    vqa_tensors(tmp_path)
    with pytest.raises(DatasetError, match=r"looks like vqa-v2 and vqa-tensors\. Say which it is"):
        open_dataset(tmp_path)


def test_of_the_real_data_only_the_questions_are_taken(shared):
    folders = [path for path in (shared / "data").iterdir() if path.is_dir()]
    taken = {path.name for path in folders if any(kind.startswith("vqa") for kind in specific(path))}
    assert taken == {"vqa_v2_coco"}
    assert specific(shared / "data" / "an4_test" / "manifest_v3.json") == ["manifest-v3"]


def test_a_pipe_is_not_waited_for(tmp_path):
    touch(tmp_path, "1.jpg")
    os.mkfifo(tmp_path / "questions.json")
    assert open_dataset(tmp_path).kind == "image-folder"
