import numpy as np

from inferry.core.protocols import Window
from inferry.core.samples import Audio
from inferry.pipeline.pieces import Piece, Pieces, Whole

WINDOWS = tuple(Window(Audio(np.zeros(4, np.float32), 4), start) for start in (0.0, 0.5, 1.0))


def pieces():
    return Pieces(lambda windows, outputs: {"logits": np.concatenate([one["logits"] for one in outputs])})


def outputs(value):
    return {"logits": np.array([value])}


def test_a_sample_that_is_not_cut_passes():
    piece, said = Piece(0, WINDOWS[:1]), outputs(1)
    assert not piece.cut
    assert piece.source is WINDOWS[0].source
    assert pieces().add(piece, said, 1.0) == Whole(said, 1.0)


def test_windows_wait_for_each_other_in_any_order():
    kept = pieces()
    parts = [Piece(7, WINDOWS, place) for place in range(3)]
    assert kept.add(parts[2], outputs(3), 0.75) is None
    assert kept.add(Piece(8, WINDOWS, 0), outputs(9), 1.0) is None
    assert kept.add(parts[0], outputs(1), 1.0) is None
    whole = kept.add(parts[1], outputs(2), 1.0)
    assert whole.outputs["logits"].tolist() == [1, 2, 3]
    assert whole.seconds == 1.75, "the last window begins after a second"


def test_a_failed_sample_is_forgotten():
    kept = pieces()
    for place in (0, 1):
        assert kept.add(Piece(0, WINDOWS, place), outputs(place), None) is None
    kept.drop(0)
    kept.drop(0)
    assert kept.add(Piece(0, WINDOWS, 2), outputs(2), None) is None
