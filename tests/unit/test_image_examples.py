"""The shipped pictures and their BEiT are complete, and the scripts that made them do what their README says."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from PIL import Image

from inferry.checkpoints.unilm_beit import read_beit
from inferry.datasets.image_folder import detect_classes, load_classes
from inferry.networks.beit import build
from inferry.processing.images import ImageProcessor, ImageSettings

CLASSES = ("arrow", "circle", "crescent", "cross", "heart", "hexagon", "ring", "square", "star", "triangle")
WEIGHTS = "beit_shapes.pth"


@pytest.fixture
def scripts(repository, monkeypatch) -> Path:
    folder = repository / "scripts"
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture(scope="module")
def examples(repository) -> Path:
    return repository / "examples" / "images"


@pytest.fixture(scope="module")
def checkpoint(examples):
    return read_beit(examples / "beit")


@pytest.fixture(scope="module")
def inputs(examples, checkpoint):
    """Of all shipped pictures, with their classes."""
    processor = ImageProcessor(ImageSettings.from_json(checkpoint.processor["input"]))
    samples = load_classes(examples / "shapes").items
    pixels = [processor.process(sample.source).inputs["pixel_values"] for sample in samples]
    return np.stack(pixels), np.array([int(sample.reference) for sample in samples])


def test_every_class_has_twelve_small_pictures(examples):
    files = sorted((examples / "shapes").rglob("*.*"))
    assert detect_classes(examples / "shapes")
    assert Counter(file.parent.name for file in files) == dict.fromkeys(CLASSES, 12)
    assert sum(file.stat().st_size for file in files) < 1e6


def test_pictures_come_in_many_sizes_and_formats(examples):
    kinds, sizes = Counter(), set()
    for file in (examples / "shapes").rglob("*.*"):
        with Image.open(file) as picture:
            kinds[picture.format, picture.mode] += 1
            sizes.add(picture.size)
    assert {*kinds} == {("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("PNG", "RGBA")}
    assert len(sizes) > 100


def test_the_shipped_files_are_those_of_the_script(scripts, examples):
    import demo_images
    import make_demo_images

    assert demo_images.CLASSES == CLASSES
    made = demo_images.pictures(make_demo_images.SEED, 30)
    for index, (name, suffix, _) in enumerate(made):
        assert (examples / "shapes" / name / f"{index // 10 + 1:02d}{suffix}").is_file()


def test_pictures_depend_on_the_seed_only(scripts):
    import demo_images

    first, second, other = (list(demo_images.pictures(seed, 10)) for seed in (3, 3, 4))
    assert first == second
    assert not {content for *_, content in first} & {content for *_, content in other}
    assert [name for name, *_ in first] == [*CLASSES]


def test_a_shape_is_brighter_than_its_ground(scripts):
    import demo_images

    for seed in range(50):
        colours = demo_images.colours(np.random.default_rng(seed))
        first, second, shape = (Image.new("RGB", (1, 1), tuple(map(int, each))).convert("L") for each in colours)
        assert shape.getpixel((0, 0)) >= max(first.getpixel((0, 0)), second.getpixel((0, 0))) + 44


def test_the_checkpoint_is_small_and_names_its_classes(examples, checkpoint):
    assert {file.name for file in (examples / "beit").iterdir()} == {WEIGHTS, "classes.txt"}
    assert (examples / "beit" / WEIGHTS).stat().st_size < 2e6
    assert checkpoint.files == {"labels.txt": "".join(f"{name}\n" for name in CLASSES)}
    assert checkpoint.notes == ()
    sizes = {key: checkpoint.config[key] for key in ("img_size", "patch_size", "embed_dim", "depth", "num_heads")}
    assert sizes == {"img_size": 96, "patch_size": 16, "embed_dim": 64, "depth": 4, "num_heads": 4}
    assert checkpoint.config["use_rel_pos_bias"]
    assert checkpoint.config["use_mean_pooling"]


def test_the_graph_is_right_as_often_as_the_readme_says_and_as_the_original(examples, checkpoint, inputs, tmp_path):
    pytest.importorskip("torch")
    from inferry.reference.beit import reference

    pixels, classes = inputs
    path = tmp_path / "model.onnx"
    ir.save(build(checkpoint).model, path)
    logits = onnxruntime.InferenceSession(path).run(None, {"pixel_values": pixels})[0]
    network = reference(checkpoint)
    expected = np.stack([network.infer({"pixel_values": picture})["logits"] for picture in pixels])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    right = int((logits.argmax(1) == classes).sum())
    assert right == int((expected.argmax(1) == classes).sum())
    assert f"({right} of {len(classes)})" in (examples / "README.md").read_text(encoding="utf-8")


def test_the_trained_network_is_the_originals_and_the_script_counts_its_hits(scripts, examples, checkpoint, inputs):
    torch = pytest.importorskip("torch")
    import train_demo_beit

    from inferry.reference.beit import reference

    state = torch.load(examples / "beit" / WEIGHTS, weights_only=True)["model"]
    network = train_demo_beit.Beit(len(CLASSES))
    network.load_state_dict(state)
    pixels, classes = train_demo_beit.shipped_set(examples / "shapes")
    np.testing.assert_array_equal(pixels, inputs[0])
    np.testing.assert_array_equal(classes, inputs[1])
    with torch.no_grad():
        logits = network(pixels[:3]).numpy()
    expected = np.stack([reference(checkpoint).infer({"pixel_values": picture})["logits"] for picture in inputs[0][:3]])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    first, among_five = train_demo_beit.hits(network, pixels, classes)
    text = (examples / "README.md").read_text(encoding="utf-8")
    assert f"({first} of 120)" in text
    assert f"({among_five} of 120)" in text


def test_training_lowers_the_loss_and_the_reader_takes_what_it_saves(scripts, monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    import train_demo_beit

    for name, value in {"BATCH": 16, "HELD_OUT": 4, "WARM_UP": 1}.items():
        monkeypatch.setattr(train_demo_beit, name, value)
    torch.manual_seed(0)
    pixels, classes = train_demo_beit.training_set(5, 24)
    network, inputs = train_demo_beit.Beit(len(CLASSES)), train_demo_beit.tensor_of(pixels)

    def loss():
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(network(inputs[:20]), classes[:20]))

    before = loss()
    train_demo_beit.train(network, pixels, classes, steps=20, seed=1)
    assert loss() < before - 0.3
    train_demo_beit.save(network, tmp_path)
    saved = read_beit(tmp_path / WEIGHTS)
    np.testing.assert_array_equal(saved.tensors["head.weight"], network.head.weight.detach().numpy())
