"""Questions about pictures to the inputs of the network: tokens, and the regions that a detector finds.

Source: allennlp-models, ``vision/dataset_readers/vqav2.py`` and ``vision_reader.py``: a picture is seen through the
regions of its detector alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from inferry.core.errors import BackendError, BundleError, SampleError, UsageError
from inferry.core.protocols import Processor, Runner
from inferry.core.samples import (
    Audio,
    AudioFile,
    Box,
    Features,
    Image,
    ImageFile,
    Question,
    RegionFile,
    Regions,
    Source,
)
from inferry.core.specs import Array
from inferry.processing.detector_image import prepare
from inferry.processing.images import open_rgb, picture_of
from inferry.processing.questions import QuestionSettings, QuestionTokenizer, question_features
from inferry.processing.region_cache import RegionCache, content_key
from inferry.processing.region_files import count_regions, read_regions

DETECTOR: Final = "detector"
"""Name of the part that finds regions."""

BEST_BOXES: Final = 10
"""Regions of a picture that an answer's row names."""

MOST_REGIONS: Final = 100
"""A picture has at most so many: the detector's own limit."""


@dataclass(frozen=True, slots=True)
class RegionFinder:
    """The region detector, from pixels on.

    Attributes:
        run: Its graph (`inferry.networks.faster_rcnn.build` says what it takes and gives).
        short_side: Pixels that the shorter side of a picture becomes.
        long_side: The most that the longer side may become.
    """

    run: Runner
    short_side: int
    long_side: int

    def find(self, pixels: Array) -> Regions:
        """The regions of a picture, best first.

        Args:
            pixels: uint8 (height, width, 3).

        Raises:
            SampleError: The picture is too long and thin, or the runtime failed on it.
        """
        picture = prepare(pixels, self.short_side, self.long_side)
        try:
            found = self.run({"image": picture.image, "image_size": picture.image_size})
        except BackendError as error:
            raise SampleError("process", f"the region detector failed: {error}") from error
        height, width = picture.image_size.tolist()
        return Regions(
            found["box_features"],
            found["box_coordinates"],
            box_scores=found["box_scores"],
            picture_size=(height, width),
        )


class QuestionProcessor:
    """Conforms to `inferry.core.protocols.Processor`; may be used from any thread.

    Args:
        settings: Of the network.
        tokenizer: Of its text model.
        finder: Of regions; None where the bundle has no detector.
    """

    def __init__(self, settings: QuestionSettings, tokenizer: QuestionTokenizer, finder: RegionFinder | None) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._finder = finder
        self._cache = RegionCache()

    def source(self, sample: object) -> Question:
        """A question; a path or an array in the place of its picture becomes the picture, a path its regions.

        Raises:
            UsageError: It is no question, or one of something else than a picture or regions.
        """
        if not isinstance(sample, Question):
            raise UsageError(_no_question(sample))
        if sample.regions is not None:
            return replace(sample, regions=_regions_of(sample.regions))
        if sample.image is None:
            return sample
        return replace(sample, image=picture_of(sample.image, "the picture of a question"))

    def measure(self, source: Source) -> int:
        """Number of regions; for a picture the most it can have, for looking at it would cost most of the work.

        Raises:
            SampleError: The source is no question, or its regions cannot be read.
        """
        regions = _question(source).regions
        if regions is None:
            return MOST_REGIONS
        if isinstance(regions, RegionFile):
            return max(1, count_regions(regions))
        coordinates = np.asarray(regions.box_coordinates)  # `process` says what is wrong with them
        return max(1, len(coordinates) if coordinates.ndim else 0)

    def read(self, source: Source) -> Question:
        """The question with its picture decoded or its regions read.

        Raises:
            SampleError: They cannot be read.
        """
        question = _question(source)
        if isinstance(question.regions, RegionFile):
            return replace(question, regions=read_regions(question.regions))
        if question.regions is None and question.image is not None:
            return replace(question, image=Image(np.asarray(open_rgb(question.image))))
        return question

    def process(self, source: Source) -> Features:
        """All inputs of the network.

        Raises:
            SampleError: Text, picture or regions are missing or cannot be used.
        """
        question = _question(source)
        tokens = self._tokenizer.encode(question)
        regions = self.regions(question)
        return replace(question_features(tokens, regions, self._settings), regions=best_boxes(regions))

    def regions(self, question: Question) -> Regions:
        """What the network looks at: the question's own regions, or those that the detector finds in its picture.

        The coordinates are pixels of the resized picture (`inferry.processing.detector_image.resized_size`).

        Raises:
            SampleError: There is neither, they cannot be read, or there is no detector.
        """
        if isinstance(question.regions, RegionFile):
            return read_regions(question.regions)
        if question.regions is not None:
            return question.regions
        if question.image is None:
            raise SampleError("process", "a question needs a picture or regions")
        if (finder := self._finder) is None:
            raise SampleError(
                "process",
                "this bundle has no region detector, so it cannot look at a picture: export it again with "
                "--detector FILE or --detector fasterrcnn_resnet50_fpn_coco, or bring regions",
            )
        pixels = np.asarray(open_rgb(question.image))
        return self._cache.get(content_key(pixels), lambda: finder.find(pixels))


def best_boxes(regions: Regions) -> tuple[Box, ...]:
    """Where the best of a picture's regions lie; none where nobody knows how large the picture is.

    Rounded to what a drawing needs.
    """
    if regions.picture_size is None:
        return ()
    height, width = regions.picture_size
    parts = np.asarray(regions.box_coordinates[:BEST_BOXES], np.float64) / (width, height, width, height)
    rows: list[list[float]] = parts.round(3).tolist()
    return tuple((left, top, right, bottom) for left, top, right, bottom in rows)


def _no_question(sample: object) -> str:
    """What to say of a sample that is something else."""
    if isinstance(sample, Image | ImageFile | Audio | AudioFile):
        return (
            f"a sample must be a question here, and {_kind(sample)} was given: ask with "
            "inferry.Question(image=…, text=…) or `inferry predict`, or name a data set of questions"
        )
    return f"a sample is inferry.Question(image=…, text=…), not {type(sample).__name__}: name the picture and ask"


def _kind(sample: Image | ImageFile | Audio | AudioFile) -> str:
    return "a picture alone" if isinstance(sample, Image | ImageFile) else "a sound"


def _regions_of(given: object) -> Regions | RegionFile:
    """The path of a .npz file becomes the regions in it."""
    if isinstance(given, str | Path):
        return RegionFile(Path(given), Path(given), Path(given))
    if isinstance(given, Regions | RegionFile):
        return given
    raise UsageError(f"the regions of a question are inferry.Regions or a .npz file, not {type(given).__name__}")


def _question(source: Source) -> Question:
    if not isinstance(source, Question):
        raise SampleError("read", f"this is {_kind(source)}, and questions are answered here: name a data set of them")
    return source


def processor(config: Mapping[str, Any], files: Mapping[str, str], parts: Mapping[str, Runner]) -> Processor:
    """The processor that a bundle describes.

    Args:
        config: processor.json; where there is a detector, ``input`` says in ``detector`` how large it sees pictures
            (``short_side`` and ``long_side``).
        files: The bundle's text files, with tokenizer.json.
        parts: What runs the detector, if the bundle has one.

    Raises:
        BundleError: They describe something else.
    """
    try:
        section, text = config["input"], files["tokenizer.json"]
        finder = None
        if DETECTOR in parts:
            sides = section[DETECTOR]
            finder = RegionFinder(parts[DETECTOR], int(sides["short_side"]), int(sides["long_side"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"processor.json or tokenizer.json is broken ({type(error).__name__}: {error}): export the bundle again"
        ) from error
    settings = QuestionSettings.from_json(section)
    return QuestionProcessor(settings, QuestionTokenizer(text, settings.max_tokens), finder)


def probes(config: Mapping[str, Any]) -> list[Question]:
    """Questions for the self-check at export: seeded, with ready-made regions, of several numbers of boxes and tokens.

    One picture has no region, and in one some of the regions are not valid.

    Args:
        config: processor.json.
    """
    section = config["input"]
    random = np.random.default_rng(0)
    questions = []
    for boxes, tokens in ((7, 9), (36, 14), (1, 4), (0, 6), (MOST_REGIONS, 5)):
        count = min(tokens, int(section["max_tokens"]))
        ids = random.integers(0, int(section["vocab_size"]), count)
        types = np.arange(count) >= (count - 2 if boxes == 7 else count)
        valid = random.random(boxes) < 0.7 if boxes == 36 else None
        regions = _regions(boxes, int(section["feature_size"]), valid, random)
        questions.append(Question(regions=regions, token_ids=ids, type_ids=types.astype(np.int64)))
    return questions


def _regions(boxes: int, size: int, valid: Array | None, random: np.random.Generator) -> Regions:
    """Features as after a ReLU, coordinates in pixels of a picture of 1333 x 800."""
    corners = np.sort(random.uniform(0, 1, (boxes, 2, 2)), axis=1) * (1333, 800)
    features = np.maximum(random.standard_normal((boxes, size)), 0)
    return Regions(features.astype(np.float32), corners.reshape(boxes, 4).astype(np.float32), valid)
