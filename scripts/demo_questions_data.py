"""Training questions and the shipped test set of the demo, as arrays."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from demo_questions import ask, people
from demo_regions import stacked
from demo_scenes import pixels, random_scene
from demo_vilbert import COORDINATE_SCALE, ENTRIES, VOCABULARY
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from inferry.checkpoints.wordpiece_tokenizer import make_tokenizer
from inferry.metrics.vqa import UNKNOWN, labels_of
from inferry.networks.faster_rcnn import MOST_DETECTIONS
from inferry.processing.answers import normalise_answer
from inferry.processing.question_processor import RegionFinder

MOST_REGIONS = 40
"""Of a picture that training sees. The detector seldom finds more."""
_INDEX = {answer: index for index, answer in enumerate(ENTRIES, start=1)}
_TOKENIZER = Tokenizer.from_str(make_tokenizer({"vocab.txt": "\n".join(VOCABULARY)}, "demo-uncased").json)


@dataclass(frozen=True)
class Questions:
    """Questions about pictures.

    Attributes:
        features: (pictures, regions, features).
        coordinates: (pictures, regions, 4), in thousands of pixels.
        box_mask: (pictures, regions), bool.
        picture: (questions): which one each is about.
        token_ids: (questions, tokens), padded with zeros.
        weights: (questions, classes): how right each answer is, 0 to 1.
        kinds: Of each question.
        answers: Of ten people to each question.
    """

    features: Tensor
    coordinates: Tensor
    box_mask: Tensor
    picture: Tensor
    token_ids: Tensor
    weights: Tensor
    kinds: Sequence[str]
    answers: Sequence[Sequence[str]]

    def inputs(self, chosen: Tensor) -> dict[str, Tensor]:
        """The network's inputs for some questions."""
        pictures = self.picture[chosen]
        return {
            "box_features": self.features[pictures],
            "box_coordinates": self.coordinates[pictures],
            "box_mask": self.box_mask[pictures],
            "token_ids": self.token_ids[chosen],
            "mask": self.token_ids[chosen] > 0,
        }


def drawn(finder: RegionFinder, scenes: int, questions: int, seed: int, cache: Path | None) -> Questions:
    """So many new scenes with so many questions each.

    Args:
        finder: Of the regions.
        scenes: How many.
        questions: About each.
        seed: Of scenes, questions and people.
        cache: An .npz file that keeps the regions for the next run with the same scenes and detector.
    """
    rng = np.random.default_rng(seed)
    drawings = [random_scene(rng) for _ in range(scenes)]
    if cache is None or not cache.exists():
        arrays = stacked([finder.find(pixels(scene)) for scene in drawings], MOST_REGIONS)
        if cache is not None:
            np.savez(cache, *arrays)
    else:
        with np.load(cache) as archive:
            arrays = tuple(archive[name] for name in archive.files)
    asked = [(picture, one) for picture, scene in enumerate(drawings) for one in islice(ask(scene, rng), questions)]
    rows = [(picture, one.text, one.kind, people(one, rng)) for picture, one in asked]
    return _questions(arrays, rows)


def shipped(finder: RegionFinder, folder: Path) -> Questions:
    """The test set, in the form of VQA v2."""
    questions, annotations = (
        json.loads(next(folder.glob(pattern)).read_text(encoding="utf-8"))[key]
        for pattern, key in (("*_questions.json", "questions"), ("*_annotations.json", "annotations"))
    )
    files = {int(file.stem[-12:]): file for file in sorted((folder / "images").iterdir())}
    arrays = stacked([finder.find(np.asarray(Image.open(file))) for file in files.values()], MOST_DETECTIONS)
    places = {image: place for place, image in enumerate(files)}
    told = {row["question_id"]: row for row in annotations}
    rows = []
    for row in questions:
        answers = [one["answer"] for one in told[row["question_id"]]["answers"]]
        rows.append((places[row["image_id"]], row["question"], told[row["question_id"]]["question_type"], answers))
    return _questions(arrays, rows)


def _questions(arrays: tuple[np.ndarray, ...], rows: Sequence[tuple[int, str, str, list[str]]]) -> Questions:
    features, coordinates, mask = arrays
    encoded = [_TOKENIZER.encode(text).ids for _, text, _, _ in rows]
    ids = np.zeros((len(rows), max(map(len, encoded))), np.int64)
    weights = np.zeros((len(rows), len(ENTRIES) + 1), np.float32)
    for row, (tokens, (_, _, _, answers)) in enumerate(zip(encoded, rows, strict=True)):
        ids[row, : len(tokens)] = tokens
        labels = labels_of(answers, _INDEX, normalise_answer)
        weights[row, list(labels.indices)] = labels.weights
    # The original's training reader leaves answers outside of the vocabulary out.
    weights[:, UNKNOWN] = 0
    return Questions(
        torch.from_numpy(features),
        torch.from_numpy(coordinates) / COORDINATE_SCALE,
        torch.from_numpy(mask),
        torch.tensor([picture for picture, _, _, _ in rows]),
        torch.from_numpy(ids),
        torch.from_numpy(weights),
        [kind for _, _, kind, _ in rows],
        [answers for _, _, _, answers in rows],
    )
