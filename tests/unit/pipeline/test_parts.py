import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import inferry
from inferry.backends.onnxruntime import OnnxRuntime
from inferry.core.errors import BackendError
from inferry.pipeline import parts as parts_module
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

    class Watched(SharedSession):
        def __init__(self, session):
            super().__init__(session)
            opened.append(self)

    monkeypatch.setattr(parts_module, "SharedSession", Watched)
    monkeypatch.setattr(type(question_bundle), "model", question_bundle.path / "answers.txt")
    with pytest.raises(BackendError):
        inferry.load(question_bundle.path)
    (part,) = opened
    with pytest.raises(BackendError, match="closed"):
        part(PICTURE)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_backend_may_leave_them_to_another(question_bundle, compile_for_npu, installed_acl, asking, precision):
    question = inferry.Question(image=asking.pixels(48, 64, 1), text="what is this?")
    bundle = compile_for_npu(question_bundle, sizes={"boxes": (100,), "tokens": (16,)}, precision=precision)
    with inferry.load(bundle.path) as expected, inferry.load(bundle.path, "ascend", precision, threads=1) as model:
        signature, (known,), (found,) = model.signature(), expected.infer([question]), model.infer([question])
        assert "detector" not in expected.signature()
    assert signature["precision"] == precision
    assert re.fullmatch(r"onnxruntime [\d.]+, cpu, fp32, 1 thread", signature["detector"])
    np.testing.assert_allclose(found["logits"], known["logits"], rtol=0, atol=1e-4 if precision == "fp32" else 0.05)


def test_that_other_backend_must_be_installed(question_bundle, installed_acl, monkeypatch):
    monkeypatch.setattr(OnnxRuntime, "missing", lambda _: "not installed; pip install onnxruntime")
    with pytest.raises(BackendError, match="backend onnxruntime cannot be used: not installed"):
        inferry.load(question_bundle.path, "ascend")
