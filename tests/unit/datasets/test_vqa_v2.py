"""Questions with pictures or regions: what is found, and what is rejected."""

import json
import os

import pytest

from inferry.core.errors import DatasetError
from inferry.core.samples import ImageFile, Question, RegionFile, Rejected, Sample
from inferry.datasets import open_dataset

QUESTIONS = "v2_OpenEnded_mscoco_val2014_questions.json"
ANNOTATIONS = "v2_mscoco_val2014_annotations.json"
PICTURE = "val2014/COCO_val2014_{:012}.jpg"


def question(number, image=71, text="What is it?"):
    return {"image_id": image, "question": text, "question_id": number}


def annotation(number, *answers, image=71):
    rows = [{"answer": answer, "answer_confidence": "yes", "answer_id": i} for i, answer in enumerate(answers, 1)]
    return {"question_id": number, "image_id": image, "multiple_choice_answer": "x", "answers": rows}


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write(folder, questions, annotations=None, names=(QUESTIONS, ANNOTATIONS)):
    for name, key, rows in ((names[0], "questions", questions), (names[1], "annotations", annotations)):
        if rows is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps({"info": {"version": "2.0"}, "license": {}, key: rows}))
    return folder


def samples(dataset):
    return [item for item in dataset.items if isinstance(item, Sample)]


def rejected(dataset):
    return [item for item in dataset.items if isinstance(item, Rejected)]


def references(dataset):
    return {item.id: item.reference for item in samples(dataset)}


# ---------------------------------------------------------------------------------------------------- what is found


@pytest.mark.parametrize("where", ["", QUESTIONS])
def test_questions_come_in_their_order_with_all_answers(tmp_path, where):
    touch(tmp_path, PICTURE.format(71), PICTURE.format(9))
    write(
        tmp_path,
        [question(712, text="Red?"), question("a1", image=9), question(711)],
        [annotation(711, "no", "2 dogs", "no"), annotation(712, "yes", "Yes"), annotation("a1", "Ü", image=9)],
    )
    dataset = open_dataset(tmp_path / where)
    assert (dataset.kind, dataset.path) == ("vqa-v2", tmp_path / where)
    assert list(references(dataset).items()) == [
        ("712", ("yes", "Yes")),
        ("a1", ("Ü",)),
        ("711", ("no", "2 dogs", "no")),
    ]
    expected = Question(image=ImageFile(tmp_path / PICTURE.format(71)), text="Red?")
    found = dataset.items[0].source
    assert (found.image, found.text, found.regions, found.token_ids) == (expected.image, "Red?", None, None)
    assert open_dataset(tmp_path / where, "vqa-v2").items[0].source.image == expected.image


def test_the_real_questions(shared):
    folder = shared / "data" / "vqa_v2_coco"
    for path in (folder, folder / "v2_OpenEnded_mscoco_train2014_questions_mini.json"):
        dataset = open_dataset(path)
        assert (dataset.kind, len(dataset.items)) == ("vqa-v2", 15)
        assert all(len(sample.reference) == 10 and sample.source.image.path.is_file() for sample in samples(dataset))
        first = dataset.items[0]
        assert (first.id, first.source.image.path.name) == ("71002", "COCO_train2014_000000000071.jpg")
        assert first.source.text == "Is this train headed towards or from the orange building?"
        assert first.reference == ("from", "away from", *["from"] * 5, "away", "from", "from")


def test_the_golden_questions_name_their_missing_pictures(shared, tmp_path):
    golden = shared / "golden" / "vilbert"
    with pytest.raises(DatasetError, match="has no pictures"):
        open_dataset(golden)
    for name in ("questions.json", "annotations.json"):
        (tmp_path / name).write_bytes((golden / name).read_bytes())
    rows = json.loads((golden / "questions.json").read_text())["questions"]
    touch(tmp_path, *(f"{row['image_id']}.png" for row in rows))
    dataset = open_dataset(tmp_path)
    assert [sample.id for sample in samples(dataset)] == [str(row["question_id"]) for row in rows]
    assert dataset.items[0].reference[0] == "brown"


@pytest.mark.parametrize(
    "picture",
    [
        "COCO_val2014_000000000071.jpg",
        "images/000000000071.PNG",
        "Images/mscoco/val2014/x000000000071.jpeg",
        "71.jpg",
        "9000000000071.webp",
    ],
)
def test_a_picture_is_found_by_the_id_at_the_end_of_its_name(tmp_path, picture):
    touch(tmp_path, picture, "photo71.jpg", "71.txt", "a/b/c/d/COCO_val2014_000000000071.jpg")
    write(tmp_path, [question(1)])
    assert samples(open_dataset(tmp_path))[0].source.image == ImageFile(tmp_path / picture)


def test_questions_without_annotations_have_no_references(tmp_path):
    touch(tmp_path, PICTURE.format(71))
    write(tmp_path, [question(1), question(2)])
    assert references(open_dataset(tmp_path)) == {"1": None, "2": None}


@pytest.mark.parametrize("where", ["", "Questions/" + QUESTIONS])
def test_the_folders_of_the_official_code(tmp_path, where):
    touch(tmp_path, "Images/mscoco/" + PICTURE.format(71))
    write(tmp_path, [question(1)], [annotation(1, "a")], ("Questions/" + QUESTIONS, "Annotations/" + ANNOTATIONS))
    assert references(open_dataset(tmp_path / where)) == {"1": ("a",)}


def test_one_of_several_question_files_is_named(tmp_path):
    touch(tmp_path, PICTURE.format(71))
    test = "v2_OpenEnded_mscoco_test2015_questions.json"
    write(tmp_path, [question(1)], [annotation(1, "a")])
    write(tmp_path, [question(2)], [annotation(2, "b")], ("train_questions.json", "train_annotations.json"))
    write(tmp_path, [question(3)], None, (test, ""))
    with pytest.raises(DatasetError, match=r"has 3 questions files: .*train_questions\.json.*\. Name the one to use"):
        open_dataset(tmp_path)
    assert references(open_dataset(tmp_path / QUESTIONS)) == {"1": ("a",)}
    assert references(open_dataset(tmp_path / "train_questions.json")) == {"2": ("b",)}
    assert references(open_dataset(tmp_path / test)) == {"3": None}


def test_the_only_annotations_are_taken_whatever_their_name(tmp_path):
    touch(tmp_path, PICTURE.format(71))
    write(tmp_path, [question(1)], [annotation(1, "a")], ("balanced_real_val_questions.json", "my annotations.json"))
    assert references(open_dataset(tmp_path)) == {"1": ("a",)}
    write(tmp_path, None, [annotation(1, "b")], ("", "other_annotations.json"))
    with pytest.raises(DatasetError, match=r"may belong to 2 annotations files: .*my annotations"):
        open_dataset(tmp_path)
    write(tmp_path, None, [annotation(1, "c")], ("", "balanced_real_val_annotations.json"))
    assert references(open_dataset(tmp_path)) == {"1": ("c",)}


def test_opening_touches_no_picture_and_no_region(tmp_path, monkeypatch):
    counts = []
    real = os.stat
    for number in (3, 40):
        folder = tmp_path / str(number)
        touch(folder, *(PICTURE.format(i) for i in range(number)))
        touch(
            folder, *(f"regions/box_{kind}/{i:012}.npy" for i in range(number) for kind in ("features", "coordinates"))
        )
        write(
            folder, [question(i, image=i) for i in range(number)], [annotation(i, "a", image=i) for i in range(number)]
        )
        calls = []
        monkeypatch.setattr(os, "stat", lambda *args, calls=calls, **more: calls.append(args) or real(*args, **more))
        for kind in ("vqa-v2", "vqa-regions", None):
            assert len(samples(open_dataset(folder, kind))) == number
        monkeypatch.undo()
        counts.append(len(calls))
    assert counts[0] == counts[1] > 0


# --------------------------------------------------------------------------------------------------- what is rejected

GOOD = [question(0)]
LONE = "\ud800"
BAD_QUESTIONS = {
    "no object": (7, QUESTIONS + r":questions\[1\]", "expected an object, found 7"),
    "nothing": ({}, QUESTIONS + r":questions\[1\]", "question_id and image_id and question missing; .*keys: none"),
    "no text": ({"question_id": 5, "image_id": 71}, "5", "question missing; found the keys: question_id, image_id"),
    "empty text": (question(5, text="  "), "5", "question must be a text, not '  '"),
    "text of a wrong type": (question(5, text=["a"]), "5", "question must be a text"),
    "text that cannot be written": (question(5, text=LONE), "5", "question must be a text"),
    "id of a wrong type": (question(1.5), QUESTIONS + r":questions\[1\]", "question_id must be .* not 1.5"),
    "id that is true": (question(True), QUESTIONS + r":questions\[1\]", "question_id must be"),
    "empty id": (question(" "), QUESTIONS + r":questions\[1\]", "question_id must be"),
    "image id of a wrong type": (question(5, image="71"), "5", "image_id must be a whole number from 0 on, not '71'"),
    "negative image id": (question(5, image=-1), "5", "image_id must be"),
    "image id that is true": (question(5, image=True), "5", "image_id must be"),
    "missing picture": (question(5, image=72), "5", "no picture below .* has the image id 000000000072"),
    "two pictures": (
        question(5, image=8),
        "5",
        "2 pictures have the image id 000000000008: .*8.jpg and .*8.png; keep one",
    ),
    "id used twice": (question(0), "0", r"used twice: first by .*questions\[0\], again by .*questions\[1\]"),
}


@pytest.mark.parametrize("name", BAD_QUESTIONS)
@pytest.mark.parametrize("answered", [True, False])
def test_a_bad_question_is_rejected_in_its_place(tmp_path, name, answered):
    entry, key, reason = BAD_QUESTIONS[name]
    touch(tmp_path, PICTURE.format(71), "8.jpg", "8.png")
    image = entry["image_id"] if isinstance(entry, dict) and "image_id" in entry else 71
    annotations = [annotation(5, "a", image=image), annotation(0, "a"), annotation(9, "a")]
    write(tmp_path, [*GOOD, entry, question(9)], annotations if answered else None)
    dataset = open_dataset(tmp_path)
    assert [type(item) for item in dataset.items] == [Sample, Rejected, Sample]
    row = dataset.items[1]
    assert row.stage == "dataset"
    assert row.reason.isprintable()
    for expected, found in ((f"^{key}$", row.id), (reason, row.reason)):
        with pytest.raises(AssertionError, match=expected):
            raise AssertionError(found)


BAD_ANNOTATIONS = {
    "none": ([], "has no answers to it"),
    "no answers": ([annotation(5)], "has no list of"),
    "answers of a wrong type": ([annotation(5) | {"answers": "yes"}], "has no list of"),
    "an answer of a wrong type": ([annotation(5, "a", 3)], "has no list of"),
    "an answer without text": ([annotation(5, "a") | {"answers": [{"answer_id": 1}]}], "has no list of"),
    "an answer that cannot be written": ([annotation(5, LONE)], "has no list of"),
    "two annotations": ([annotation(5, "a"), annotation(5, "b")], "more than one annotation"),
    "another picture": ([annotation(5, "a", image=72)], "about picture 71, its annotation about picture 72"),
}


@pytest.mark.parametrize("name", BAD_ANNOTATIONS)
def test_an_unanswered_question_is_rejected(tmp_path, name):
    entries, reason = BAD_ANNOTATIONS[name]
    touch(tmp_path, PICTURE.format(71))
    write(tmp_path, [question(5), question(0)], [*entries, annotation(0, "a")])
    (row, good) = open_dataset(tmp_path).items
    assert (row.id, good.id, good.reference) == ("5", "0", ("a",))
    assert reason in row.reason


def test_an_annotation_of_no_question_is_rejected_after_the_questions(tmp_path):
    touch(tmp_path, PICTURE.format(71))
    write(tmp_path, GOOD, [3, {"answers": []}, annotation(0, "a"), annotation(99, "left out of the questions")])
    dataset = open_dataset(tmp_path)
    assert references(dataset) == {"0": ("a",)}
    assert [row.id for row in rejected(dataset)] == [f"{ANNOTATIONS}:annotations[{i}]" for i in (0, 1)]
    assert "expected an object, found 3" in rejected(dataset)[0].reason
    assert "question_id missing" in rejected(dataset)[1].reason


BAD_FILES = {
    "broken questions": ({QUESTIONS: '{"questions": [\n{]}'}, r"questions\.json is no valid JSON: .*line 2 column 2"),
    "empty questions file": ({QUESTIONS: ""}, r"questions\.json is no valid JSON: Expecting value: line 1 column 1"),
    "questions that are no list": ({QUESTIONS: '{"questions": 3}'}, "has no list of questions, found: questions"),
    "questions that are a list": ({QUESTIONS: '["questions"]'}, "has no list of questions, found: list"),
    "no questions": ({QUESTIONS: '{"questions": []}'}, "has no samples"),
    "nested too deep": ({QUESTIONS: '{"questions":' + "[" * 200_000}, "is no valid JSON"),
    "only bad questions": ({QUESTIONS: '{"questions": [1]}'}, r"All 1 entries are bad.*\n.*questions\[0\]: expected"),
    "empty annotations file": ({ANNOTATIONS: ""}, r"annotations\.json is no valid JSON: Expecting value: line 1"),
    "broken annotations": ({ANNOTATIONS: '{"annotations": ['}, r"annotations\.json is no valid JSON: .*char"),
    "annotations of others": (
        {ANNOTATIONS: json.dumps({"annotations": [annotation(1, "a")]})},
        "answers none of the 1 questions of .*Put their own annotations beside them",
    ),
    "no pictures": ({PICTURE.format(71): None}, "has no pictures. Looked for a JSON file with questions in its name"),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("where", ["", QUESTIONS])
def test_a_bad_file_is_refused(tmp_path, name, where):
    files, reason = BAD_FILES[name]
    touch(tmp_path, PICTURE.format(71))
    write(tmp_path, GOOD)
    for file, text in files.items():
        (tmp_path / file).unlink(missing_ok=True)
        if text is not None:
            (tmp_path / file).write_text(text)
    with pytest.raises(DatasetError, match=f"(?s){reason}"):
        open_dataset(tmp_path / where, "vqa-v2" if name == "questions that are a list" else None)


def test_a_kind_that_does_not_fit_is_refused(tmp_path):
    touch(tmp_path, PICTURE.format(71))
    for kind in ("vqa-v2", "vqa-regions", "vqa-tensors"):
        with pytest.raises(DatasetError, match=r"has no (questions|regions|box_features).*Looked for"):
            open_dataset(tmp_path, kind)


def test_a_folder_that_cannot_be_listed_is_rejected(tmp_path, monkeypatch):
    touch(tmp_path, PICTURE.format(71), "closed/x.jpg")
    write(tmp_path, GOOD)
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    dataset = open_dataset(tmp_path)
    assert list(references(dataset)) == ["0"]
    assert "Permission denied" in rejected(dataset)[0].reason


# ------------------------------------------------------------------------------------------------ ready-made regions


def test_regions_in_npz_files(tmp_path):
    touch(tmp_path, PICTURE.format(71), "regions/COCO_val2014_000000000071.npz", "regions/inputs.npz")
    write(tmp_path, [question(1), question(2, image=72)], [annotation(1, "a"), annotation(2, "b", image=72)])
    dataset = open_dataset(tmp_path)
    path = tmp_path / "regions/COCO_val2014_000000000071.npz"
    assert (dataset.kind, references(dataset)) == ("vqa-regions", {"1": ("a",)})
    source = dataset.items[0].source
    assert (source.regions, source.image, source.text) == (RegionFile(path, path, path), None, "What is it?")
    assert "no region file below" in rejected(dataset)[0].reason
    assert open_dataset(tmp_path, "vqa-v2").items[0].source.image == ImageFile(tmp_path / PICTURE.format(71))


@pytest.mark.parametrize("masks", [True, False])
def test_regions_in_folders(tmp_path, masks):
    names = [f"COCO_val2014_{image:012}.npy" for image in (71, 72, 73)]
    touch(
        tmp_path,
        *(f"box_features/{name}" for name in names),
        f"box_coordinates/{names[0]}",
        f"box_coordinates/{names[1]}",
    )
    if masks:
        touch(tmp_path, f"box_mask/{names[0]}")
    write(tmp_path, [question(image, image=image) for image in (71, 72, 73)])
    dataset = open_dataset(tmp_path)
    assert dataset.kind == "vqa-regions"
    features, coordinates, mask = (tmp_path / f"box_{kind}" / names[0] for kind in ("features", "coordinates", "mask"))
    assert dataset.items[0].source.regions == RegionFile(features, coordinates, mask if masks else None)
    assert [sample.id for sample in samples(dataset)] == (["71"] if masks else ["71", "72"])
    reasons = {row.id: row.reason for row in rejected(dataset)}
    assert "has no box_coordinates/COCO_val2014_000000000073.npy beside it" in reasons["73"]
    assert not masks or "has no box_mask/COCO_val2014_000000000072.npy" in reasons["72"]


def test_regions_that_are_there_twice_are_named(tmp_path):
    touch(tmp_path, "a/000000000071.npz", "b/71.npz", "000000000009.npz")
    write(tmp_path, [question(1), question(2, image=9)])
    dataset = open_dataset(tmp_path)
    assert list(references(dataset)) == ["2"]
    assert "2 region files have the image id" in rejected(dataset)[0].reason
