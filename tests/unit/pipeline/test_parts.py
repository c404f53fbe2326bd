import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import inferry
from inferry.core.errors import BackendError
from inferry.pipeline import model as model_module
from inferry.pipeline.parts import SharedSession

PICTURE = {"image": np.zeros((1, 3, 32, 32), np.float32), "image_size": np.array([32, 32], np.int64)}


class Session:
    """Knows how many are in it at the same time; each lets the others come as far as they can."""

    def __init__(self):
        self.within = self.most = 0
        self.closed_within = None

    def run(self, inputs):
        self.within += 1
        self.most = max(self.most, self.within)
        threading.Event().wait(0.01)
        self.within -= 1
        return inputs

    def close(self):
        self.closed_within = self.within


def test_threads_run_one_after_the_other_and_each_gets_its_own():
    session = Session()
    shared = SharedSession(session)
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(shared, {"number": number}) for number in range(8)]
        shared.close()
    assert session.closed_within == 0, "nothing runs where memory is freed"
    assert [one.result()["number"] for one in found] == list(range(8))
    assert session.most == 1


def test_a_run_that_fails_lets_the_next_one_in():
    class Failing(Session):
        def run(self, inputs):
            if not inputs:
                raise BackendError("out of memory")
            return inputs

    shared = SharedSession(Failing())
    with pytest.raises(BackendError, match="out of memory"):
        shared({})
    assert shared({"number": 1}) == {"number": 1}


def test_a_closed_model_closes_its_further_networks(question_bundle):
    with inferry.load(question_bundle.path) as model:
        assert model.parts["detector"](PICTURE)["box_features"].ndim == 2
    with pytest.raises(BackendError, match="closed"):
        model.parts["detector"](PICTURE)


def test_a_model_that_cannot_be_opened_leaves_nothing_open(question_bundle, monkeypatch):
    opened = []
    shared = model_module._shared
    monkeypatch.setattr(model_module, "_shared", lambda *given: opened.append(shared(*given)) or opened[-1])
    monkeypatch.setattr(type(question_bundle), "model", question_bundle.path / "answers.txt")
    with pytest.raises(BackendError):
        inferry.load(question_bundle.path)
    (part,) = opened
    with pytest.raises(BackendError, match="closed"):
        part(PICTURE)
