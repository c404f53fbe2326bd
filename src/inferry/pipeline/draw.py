"""The regions that an answer comes from, drawn over their picture."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import PIL.Image

from inferry.core.errors import UsageError
from inferry.core.samples import ImageFile, Question, Regions
from inferry.pipeline.model import Model
from inferry.pipeline.predict import is_regions
from inferry.processing.images import open_rgb
from inferry.report.captions import readable
from inferry.report.drawing import Region, draw_regions

FORMATS: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""What can be written, by suffix."""


@runtime_checkable
class Looking(Protocol):
    """A processor that can say what its network looks at."""

    def regions(self, question: Question) -> Regions:
        """The regions of a question's picture, best first; those that were found before are kept.

        Raises:
            SampleError: The picture cannot be used.
        """


def check_drawing(files: Sequence[Path], output: Path) -> None:
    """Require one picture, and another file to draw to.

    Raises:
        UsageError: There are several files, ready-made regions without a picture, or the output cannot be meant so.
    """
    if len(files) != 1:
        raise UsageError(f"--draw takes one picture, not {len(files)} files: name them in separate calls")
    if is_regions(files[0]):
        raise UsageError(f"{readable(files[0])} holds regions and no picture to draw them on: give the picture")
    if output.suffix.lower() not in FORMATS:
        raise UsageError(f"--draw {readable(output)}: the name must end in one of {', '.join(FORMATS)}")
    if not output.parent.is_dir():
        raise UsageError(f"--draw {readable(output)}: there is no folder {readable(output.parent)}")
    if output.resolve() == files[0].resolve():
        raise UsageError(f"--draw {readable(output)} would overwrite the picture itself: choose another name")


def draw(model: Model, file: Path, question: str, output: Path) -> int:
    """Draw the regions of a picture that was asked about.

    Args:
        model: A bundle that answers questions about pictures.
        file: The picture.
        question: Any that was asked about it.
        output: As `check_drawing` wants it.

    Returns:
        How many regions there are.

    Raises:
        SampleError: The picture cannot be used.
        UsageError: The family cannot say what it looks at, or the output cannot be written.
    """
    if not isinstance(model.processor, Looking):
        raise UsageError(f"{model.bundle.manifest.family} cannot say which regions it looks at: leave out --draw")
    found = model.processor.regions(Question(image=ImageFile(file), text=question))
    picture = open_rgb(ImageFile(file))
    regions = _in_pixels(found, picture)
    drawn = io.BytesIO()
    draw_regions(picture, regions).save(drawn, FORMATS[output.suffix.lower()])
    try:
        output.write_bytes(drawn.getvalue())
    except OSError as error:
        raise UsageError(f"{readable(output)} cannot be written ({error}): choose another --draw") from error
    return len(regions)


def _in_pixels(found: Regions, picture: PIL.Image.Image) -> list[Region]:
    """Regions in pixels of the picture itself; the detector's are in those of the resized one."""
    height, width = found.picture_size or (picture.height, picture.width)
    across, down = picture.width / width, picture.height / height
    boxes = found.box_coordinates * (across, down, across, down)
    scores = [None] * len(boxes) if found.box_scores is None else found.box_scores.tolist()
    valid = [True] * len(boxes) if found.box_mask is None else found.box_mask.tolist()
    every = zip(boxes.tolist(), scores, valid, strict=True)
    return [Region((left, top, right, bottom), score) for (left, top, right, bottom), score, kept in every if kept]
