"""What every backend must do. A new one is tested by being registered."""

import numpy as np
import pytest

from inferry.backends.registry import backend_names, get_backend
from inferry.core.errors import BackendError
from inferry.core.protocols import SessionOptions
from inferry.core.samples import Audio, Image, Question, Regions
from inferry.core.tolerances import LOGITS
from inferry.pipeline.execution import collate, planned_axis, separate
from inferry.pipeline.model import Model

FAMILIES = ("wav2vec2", "data2vec-audio", "deepspeech2", "beit", "vilbert-vqa")
LENGTHS = (6000, 1700, 9100, 3200)
BOXES = (7, 2, 11, 4)
SIZES = {
    "wav2vec2": {"samples": (4000, 40_000)},
    "data2vec-audio": {"samples": (4000, 40_000)},
    "deepspeech2": {"time": (60, 300)},
    "beit": {},
    "vilbert-vqa": {"boxes": (12, 50), "tokens": (8,)},
}
"""What bundles are compiled for where a backend compiles: shapes that take all that is run here."""
BATCHES = (1, 2, 8)


@pytest.fixture(params=backend_names())
def backend(request):
    if request.param == "ascend":
        request.getfixturevalue("installed_acl")
    found = get_backend(request.param)
    if (missing := found.missing()) is not None:
        pytest.skip(f"{request.param}: {missing}")
    return found


@pytest.fixture(scope="module")
def prepared(compile_for_npu):
    """A bundle as the backend takes it: as it is, or a copy that is compiled."""
    done = {}

    def prepare(backend, bundle):
        if backend.name != "ascend":
            return bundle
        family = bundle.manifest.family
        if family not in done:
            done[family] = compile_for_npu(bundle, sizes=SIZES[family], batch_sizes=BATCHES)
        return done[family]

    return prepare


@pytest.fixture
def bundle(backend, prepared, tiny_bundle):
    return prepared(backend, tiny_bundle)


@pytest.fixture(params=FAMILIES)
def opened(request, backend, prepared, tiny):
    """A model on the backend, and features of several lengths."""
    if request.param in tiny.FAMILIES:
        bundle = request.getfixturevalue("tiny_bundles")[request.param]
        sources = [Audio(tiny.sound(length, seed), tiny.RATE) for seed, length in enumerate(LENGTHS)]
    elif request.param == "beit":
        bundle = request.getfixturevalue("picture_bundle")
        pixels = request.getfixturevalue("asking").pixels
        sources = [Image(pixels(60 + 9 * seed, 80 - 7 * seed, seed)) for seed in range(len(LENGTHS))]
    else:
        bundle = request.getfixturevalue("question_bundle")
        sources = [question(seed, boxes) for seed, boxes in enumerate(BOXES)]
    with Model(prepared(backend, bundle), backend.name, SessionOptions(threads=2)) as model:
        yield model, [model.processor.process(source) for source in sources]


def question(seed, boxes):
    """Ready-made regions, and a question of another length each time."""
    generator = np.random.default_rng(seed)
    features = generator.uniform(0, 1, (boxes, 24)).astype(np.float32)
    corners = np.sort(generator.uniform(0, 800, (boxes, 4)).astype(np.float32), axis=1)
    return Question(regions=Regions(features, corners), token_ids=np.array([2, *range(5, 6 + seed), 3]))


@pytest.fixture
def session(backend, bundle):
    session = backend.open(bundle.model, SessionOptions(threads=1))
    yield session
    session.close()


def feed(rows=1, length=2000, dtype=np.float32):
    values = np.random.default_rng(3).standard_normal((rows, length)).astype(dtype)
    return {"input_values": values, "input_lengths": np.full(rows, length, np.int64)}


def assert_same(expected, found, model):
    for want, have in zip(expected, found, strict=True):
        assert want["logits"].shape == have["logits"].shape
        np.testing.assert_allclose(have["logits"], want["logits"], rtol=0, atol=LOGITS["fp32"])
        assert model.decoder.decode(have) == model.decoder.decode(want)


def alone(model, features):
    return [model.run_batch([one])[0] for one in features]


def test_the_outputs_are_those_of_the_manifest(opened):
    model, features = opened
    (outputs,) = model.run_batch(features[:1])
    for spec in model.bundle.manifest.outputs:
        assert outputs[spec.name].dtype == spec.dtype
        assert outputs[spec.name].ndim == len(spec.dims) - 1
    if "output_lengths" in outputs:
        assert len(outputs["logits"]) == outputs["output_lengths"] > 0


def test_the_answer_depends_on_the_sample(opened):
    model, features = opened
    first, second = (outputs["logits"] for outputs in alone(model, [features[0], features[2]]))
    assert np.abs(first - second[: len(first)]).max() > 0.001


def test_a_mixed_batch_changes_nothing(opened):
    model, features = opened
    assert_same(alone(model, features), model.run_batch(features), model)


@pytest.mark.parametrize("factor", [1.0, 1.37, 4.0])
def test_padding_changes_nothing(opened, factor):
    model, features = opened
    far = int(factor * max(one.length for one in features))
    assert_same(alone(model, features), model.run_batch(features, pad_to=far), model)
    for one in features:
        assert_same(alone(model, [one]), model.run_batch([one], pad_to=far), model)


def test_the_order_of_the_rows_changes_nothing(opened):
    model, features = opened
    batch = model.run_batch(features)
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        permuted = model.run_batch([features[i] for i in order])
        assert_same([batch[i] for i in order], permuted, model)


def test_the_same_sample_many_times(opened):
    model, features = opened
    assert_same(alone(model, features[:1]) * 5, model.run_batch(features[:1] * 5), model)


def test_what_lies_in_the_padding_changes_nothing(opened):
    model, features = opened
    specs = model.bundle.manifest
    if (axis := planned_axis(specs.inputs)) is None:
        assert not any(spec.dynamic_axes for spec in specs.inputs), "every sample has one shape: nothing is padded"
        return
    batch = collate(features, specs.inputs)
    name, place = specs.inputs[0].name, specs.inputs[0].dims.index(axis)
    dirty = np.moveaxis(batch[name].copy(), place, 1)
    for row, one in zip(dirty, features, strict=True):
        row[one.length :] = 3.5
    dirty = np.ascontiguousarray(np.moveaxis(dirty, 1, place))
    found = separate(model._session.run({**batch, name: dirty}), specs.outputs)
    assert_same(alone(model, features), found, model)


def test_the_same_batch_twice_gives_the_same_bytes(session):
    first, second = session.run(feed()), session.run(feed())
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_inputs_are_left_as_they_are(session):
    inputs = feed()
    before = inputs["input_values"].copy()
    session.run(inputs)
    np.testing.assert_array_equal(inputs["input_values"], before)


@pytest.mark.parametrize(
    "change",
    [
        {"input_values": np.zeros((1, 2000), np.float64)},
        {"input_values": np.zeros(2000, np.float32)},
        {"input_lengths": np.array([2000], np.int32)},
        {"surprise": np.zeros(1, np.float32)},
    ],
    ids=["dtype", "rank", "dtype of lengths", "unknown name"],
)
def test_wrong_inputs_are_refused(session, change):
    with pytest.raises(BackendError):
        session.run(feed() | change)
    assert session.run(feed()), "the session survives"


def test_a_missing_input_is_refused(session):
    with pytest.raises(BackendError):
        session.run({"input_values": np.zeros((1, 2000), np.float32)})


def test_input_too_short_for_one_frame_is_refused(session):
    with pytest.raises(BackendError):
        session.run(feed(length=0))


def test_a_closed_session_refuses(backend, bundle):
    session = backend.open(bundle.model, SessionOptions())
    session.close()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run(feed())


def test_an_unknown_precision_is_refused(backend, bundle):
    with pytest.raises(BackendError, match="fp3"):
        backend.open(bundle.model, SessionOptions(precision="fp3"))


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_refused(backend, bundle, threads):
    with pytest.raises(BackendError, match=str(threads)):
        backend.open(bundle.model, SessionOptions(threads=threads))


def test_a_missing_file_is_refused(backend, tmp_path):
    with pytest.raises(BackendError, match=r"model\.onnx"):
        backend.open(tmp_path / "model.onnx", SessionOptions())


def test_a_broken_file_is_refused(backend, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph at all")
    with pytest.raises(BackendError, match=r"model\.onnx"):
        backend.open(tmp_path / "model.onnx", SessionOptions())


def test_the_signature_tells_what_is_used(backend, bundle):
    session = backend.open(bundle.model, SessionOptions(threads=1))
    signature = session.signature()
    session.close()
    assert signature["backend"] == backend.name
    assert signature["precision"] == "fp32"
    assert signature["threads"] == 1
    assert signature["version"]
    assert signature["device"]


def test_threads_do_not_change_the_text(backend, tiny, bundle):
    texts = []
    for threads in (1, 2):
        with Model(bundle, backend.name, SessionOptions(threads=threads)) as model:
            texts.append([row.text for row in model.predict([Audio(tiny.sound(8000, 1), tiny.RATE)])])
            # A device has no such threads, and says that the processor beside it spends one.
            assert model.signature()["threads"] == (threads if getattr(backend, "threaded", True) else 1)
    assert texts[0] == texts[1]
