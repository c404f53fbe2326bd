"""Samples, their processed features, and their predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferry.core.specs import Array


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Sound in memory.

    Attributes:
        samples: ``(n,)`` or ``(n, channels)``; float in [-1, 1] or any integer width (full scale).
        rate: Samples per second.
    """

    samples: Array
    rate: int


@dataclass(frozen=True, slots=True)
class AudioFile:
    """Sound in a file, or a part of one.

    Attributes:
        path: The file.
        start: Seconds from its beginning, 0 for all.
        end: Seconds from its beginning, None for the end of the file.
    """

    path: Path
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A picture in memory.

    Attributes:
        pixels: ``(height, width, 3)`` uint8, red green blue.
    """

    pixels: Array


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture in a file."""

    path: Path


Box = tuple[float, float, float, float]
"""Left, top, right and bottom as parts of a picture's width and height."""


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """What a region detector found in a picture, best first.

    Attributes:
        box_features: ``(boxes, 1024)`` float32.
        box_coordinates: ``(boxes, 4)`` float32: left, top, right, bottom in pixels of the resized picture.
        box_mask: ``(boxes,)``, true where a box is valid; None for all.
        box_scores: ``(boxes,)`` float32, how sure the detector is, 0 to 1; None if unknown. No network takes them.
        picture_size: Height and width of the resized picture; None if unknown.
    """

    box_features: Array
    box_coordinates: Array
    box_mask: Array | None = None
    box_scores: Array | None = None
    picture_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class RegionFile:
    """Ready-made regions on disk: arrays as in `Regions`, each in a .npy file, or all in one .npz file.

    Attributes:
        box_features: A .npy file, or the .npz file.
        box_coordinates: A .npy file, or the same .npz file.
        box_mask: Likewise; None where all boxes are valid. A .npz file without ``box_mask`` has valid boxes only.
    """

    box_features: Path
    box_coordinates: Path
    box_mask: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A question about a picture, or about ready-made regions.

    Attributes:
        image: The picture; None where `regions` are given.
        text: The question; None where `token_ids` are given.
        regions: Instead of the picture.
        token_ids: ``(tokens,)`` int64, instead of the text, special tokens included.
        type_ids: ``(tokens,)`` int64; None for zeros.
    """

    image: Image | ImageFile | None = None
    text: str | None = None
    regions: Regions | RegionFile | None = None
    token_ids: Array | None = None
    type_ids: Array | None = None


Source = Audio | AudioFile | Image | ImageFile | Question
"""What a sample's input can be."""

Reference = str | tuple[str, ...]
"""What people say about a sample: a transcript; the 0-based index of a picture's class, several joined by ``|`` where
any of them is right; the answers of all people to a question."""


def path_of(source: Source) -> Path | None:
    """The file that a source lies in; None for one in memory."""
    if isinstance(source, Question):
        if isinstance(source.regions, RegionFile):
            return source.regions.box_features
        return None if source.image is None else path_of(source.image)
    return source.path if isinstance(source, AudioFile | ImageFile) else None


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of a data set.

    Attributes:
        id: Unique within the data set.
        source: The input.
        reference: What people say, None if unknown.
    """

    id: str
    source: Source
    reference: Reference | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A quarantined sample: one row of errors.jsonl.

    Attributes:
        id: Of the sample (the path or line where it has none).
        path: The file concerned, as text; empty if none.
        stage: ``dataset``, ``read``, ``process``, ``infer`` or ``decode``.
        reason: One sentence.
    """

    id: str
    path: str
    stage: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A row of errors.jsonl."""
        return {"id": self.id, "path": self.path, "stage": self.stage, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Dataset:
    """All samples of a data set in its own order; bad entries stand in their place.

    Attributes:
        kind: The layout that was recognised (``librispeech``, ``manifest-v3``, ``an4``, ``jsonl``, ``audio-folder`` …).
        path: Where it lies.
        items: Samples and rejected entries.
    """

    kind: str
    path: Path
    items: tuple[Sample | Rejected, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a transcription, found again in the sound.

    Attributes:
        text: The word.
        start: Seconds from the beginning of the source.
        end: Seconds from the beginning of the source, greater than `start`.
        confidence: 0 to 1.
    """

    text: str
    start: float
    end: float
    confidence: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object; times to the millisecond."""
        return {
            "text": self.text,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "confidence": round(self.confidence, 4),
        }


@dataclass(frozen=True, slots=True)
class Transcription:
    """The decoded answer for one utterance.

    Attributes:
        text: As the original model's greedy decoder prints it, or what a beam search found.
        frames: Output frames that were decoded.
        words: Where each word lies and how sure it is; None where nobody asked. They never stand in predictions.jsonl:
            a confidence has rounding noise, and that file is the same bytes for any batching.
    """

    text: str
    frames: int
    words: tuple[Word, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The prediction's part of a row of predictions.jsonl; with `words` where they were asked for."""
        row: dict[str, Any] = {"text": self.text, "frames": self.frames}
        if self.words is not None:
            row["words"] = [word.to_json() for word in self.words]
        return row


@dataclass(frozen=True, slots=True)
class Ranked:
    """One of the best classes or answers.

    Attributes:
        index: Of the network's output.
        label: Its name.
        score: Probability; None where nobody asked: it has rounding noise, and predictions.jsonl has none.
    """

    index: int
    label: str
    score: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        row: dict[str, Any] = {"index": self.index, "label": self.label}
        if self.score is not None:
            row["score"] = round(self.score, 6)
        return row


@dataclass(frozen=True, slots=True)
class Classification:
    """The best classes of a picture, best first.

    Attributes:
        best: Up to five.
    """

    best: tuple[Ranked, ...]

    def to_json(self) -> dict[str, Any]:
        """The prediction's part of a row of predictions.jsonl."""
        return {"label": self.best[0].label, "best": [one.to_json() for one in self.best]}


@dataclass(frozen=True, slots=True)
class Answer:
    """The best answers to a question, best first.

    Attributes:
        best: Up to five.
        given: Indices of all answers whose score reaches the original's threshold, for precision, recall and F1.
    """

    best: tuple[Ranked, ...]
    given: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The prediction's part of a row of predictions.jsonl."""
        best = [one.to_json() for one in self.best]
        return {"answer": self.best[0].label, "best": best, "given": list(self.given)}


Prediction = Transcription | Classification | Answer
"""What a decoder returns."""


@dataclass(frozen=True, slots=True)
class Features:
    """One processed sample: the graph's inputs without the batch dimension.

    Attributes:
        inputs: By the graph's input name. Lengths are 0-dimensional integer arrays.
        length: Size along the dynamic axis that the shape plan buckets.
        seconds: Duration of the sound, None for other tasks.
        answer: The prediction where the input alone decides it (silence has no words), so that no network is asked.
        regions: Of a picture, where the best regions lie that the network looks at.
    """

    inputs: Mapping[str, Array]
    length: int
    seconds: float | None = None
    answer: Transcription | None = None
    regions: tuple[Box, ...] = ()
