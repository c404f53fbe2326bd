"""The pieces of a data set with their features, in order, processed ahead by threads."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from inferry.core.errors import SampleError, UsageError
from inferry.core.protocols import Processor
from inferry.core.samples import Features, Rejected, Sample
from inferry.pipeline.engine import rejected
from inferry.pipeline.model import Model
from inferry.pipeline.pieces import Piece


@dataclass(frozen=True, slots=True)
class Processed:
    """What one piece became.

    Attributes:
        index: Place of its sample in the data set.
        piece: The piece; None where the item has none.
        outcome: Its features, or why there are none.
    """

    index: int
    piece: Piece | None
    outcome: Features | Rejected


def processed(model: Model, items: Sequence[Sample | Rejected], workers: int) -> Generator[Processed]:
    """Every piece of every item, in the data set's order.

    Args:
        model: Cuts and processes.
        items: The data set.
        workers: Threads. At most twice as many pieces, and one, are in memory.
    """
    waiting: deque[Future[Processed]] = deque()
    readers = ThreadPoolExecutor(workers, "process")
    try:
        for index, item in enumerate(items):
            for piece in _pieces(model, index, item):
                waiting.append(readers.submit(_process, model.processor, item, piece, index))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        readers.shutdown(cancel_futures=True)


def _pieces(model: Model, index: int, item: Sample | Rejected) -> Iterator[Piece | Rejected]:
    if isinstance(item, Rejected):
        yield item
        return
    try:
        windows = model.cut(item.source)
    except SampleError as error:
        yield rejected(item, error)
    except UsageError as error:  # a sound in a list of pictures: of all samples only this one is wrong
        yield rejected(item, SampleError("read", str(error)))
    else:
        yield from (Piece(index, windows, place) for place in range(len(windows)))


def _process(processor: Processor, item: Sample | Rejected, piece: Piece | Rejected, index: int) -> Processed:
    if isinstance(piece, Rejected):
        return Processed(index, None, piece)
    try:
        return Processed(index, piece, processor.process(piece.source))
    except SampleError as error:
        problem = error
    except Exception as error:  # noqa: BLE001 -- one sample must not end a job of a million; it is not silent
        problem = SampleError("process", f"unexpected {type(error).__name__}: {error} (please report this)")
    return Processed(index, piece, rejected(item, problem))
