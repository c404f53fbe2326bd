from itertools import islice
from pathlib import Path
from threading import Lock

import numpy as np
import pytest

from inferry.core.errors import SampleError, UsageError
from inferry.core.protocols import Window
from inferry.core.samples import Audio, Features, Rejected, Sample
from inferry.pipeline.jobs.processed import processed


class Model:
    """Cuts a sound of n samples into n windows and counts what was processed."""

    def __init__(self):
        self.processor = self
        self.count = 0
        self._lock = Lock()

    def cut(self, source):
        if source.rate == 1:
            raise SampleError("read", "it cannot be cut")
        if source.rate == 2:
            raise UsageError("it is no sound")
        return tuple(Window(source, place) for place in range(len(source.samples)))

    def process(self, source):
        with self._lock:
            self.count += 1
        if source.rate == 3:
            raise SampleError("process", "too short")
        if source.rate == 4:
            raise ZeroDivisionError("oops")
        return Features({}, source.rate)


def sample(name, rate, windows=1):
    return Sample(name, Audio(np.zeros(windows), rate))


def test_all_pieces_come_in_order_and_bad_ones_in_their_place():
    items = [sample("a", 9, 3), Rejected("b", "b.wav", "dataset", "why"), sample("c", 1), sample("d", 2)]
    items += [sample("e", 3), sample("f", 4), sample("g", 8)]
    found = list(processed(Model(), items, workers=2))
    assert [one.index for one in found] == [0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert [one.piece.place for one in found if one.piece is not None] == [0, 1, 2, 0, 0, 0]
    assert [one.outcome.length for one in found if isinstance(one.outcome, Features)] == [9, 9, 9, 8]
    assert [one.outcome for one in found if isinstance(one.outcome, Rejected)] == [
        items[1],
        Rejected("c", "", "read", "it cannot be cut"),
        Rejected("d", "", "read", "it is no sound"),
        Rejected("e", "", "process", "too short"),
        Rejected("f", "", "process", "unexpected ZeroDivisionError: oops (please report this)"),
    ]


@pytest.mark.parametrize("workers", [1, 3])
def test_few_pieces_are_in_memory_and_none_is_processed_after_the_end(workers):
    model = Model()
    pieces = processed(model, [sample(str(index), 9) for index in range(100)], workers)
    assert [one.index for one in islice(pieces, 5)] == list(range(5))
    pieces.close()
    assert 5 <= model.count <= 5 + 2 * workers + 1


def test_a_name_that_is_no_text_can_be_written():
    from inferry.core.samples import AudioFile
    from inferry.pipeline.engine import path_text

    assert path_text(AudioFile(Path("a/b é.wav"))) == "a/b é.wav"
    assert path_text(AudioFile(Path("a/\udcff.wav"))) == "a/\\udcff.wav"
    assert path_text(Audio(np.zeros(1), 1)) == ""
