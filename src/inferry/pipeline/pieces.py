"""The unit of the network's work: a whole sample, or one window of a long one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from inferry.core.protocols import Window
from inferry.core.samples import Source
from inferry.core.specs import Array

Outputs = Mapping[str, Array]
Join = Callable[[Sequence[Window], Sequence[Outputs]], Outputs]


@dataclass(frozen=True, slots=True)
class Piece:
    """What the network sees at once.

    Attributes:
        index: Place of the sample in the data set.
        windows: All windows of the sample; a sample that is not cut is its only window.
        place: Which of them this is.
        length: Size along the planned axis, from headers; 0 if nobody asked. All windows of a sample are planned with
            the length of the first, so that they run one after the other.
    """

    index: int
    windows: tuple[Window, ...]
    place: int = 0
    length: int = 0

    @property
    def source(self) -> Source:
        """What to read."""
        return self.windows[self.place].source

    @property
    def cut(self) -> bool:
        """Whether it is a part of a sample."""
        return len(self.windows) > 1


@dataclass(frozen=True, slots=True)
class Whole:
    """What the network says about a whole sample.

    Attributes:
        outputs: Cut to their true length; joined where the sample ran in windows.
        seconds: Duration of the sound, None for other tasks.
    """

    outputs: Outputs
    seconds: float | None


@dataclass
class _Waiting:
    outputs: dict[int, Outputs] = field(default_factory=dict)
    seconds: float | None = None


class Pieces:
    """Keeps the outputs of windows until a sample has all of them.

    Args:
        join: Windows and their outputs to the outputs of the whole.
    """

    def __init__(self, join: Join) -> None:
        self._join = join
        self._waiting: dict[int, _Waiting] = {}

    def add(self, piece: Piece, outputs: Outputs, seconds: float | None) -> Whole | None:
        """One piece's outputs and its duration.

        Returns:
            The whole sample's; None while windows of it are missing.

        Raises:
            SampleError: The windows cannot be joined.
        """
        if not piece.cut:
            return Whole(outputs, seconds)
        waiting = self._waiting.setdefault(piece.index, _Waiting())
        waiting.outputs[piece.place] = outputs
        if seconds is not None and piece.place == len(piece.windows) - 1:
            waiting.seconds = piece.windows[-1].start + seconds
        if len(waiting.outputs) < len(piece.windows):
            return None
        del self._waiting[piece.index]
        ordered = [waiting.outputs[place] for place in range(len(piece.windows))]
        return Whole(self._join(piece.windows, ordered), waiting.seconds)

    def drop(self, index: int) -> None:
        """Forget a sample that has failed."""
        self._waiting.pop(index, None)
