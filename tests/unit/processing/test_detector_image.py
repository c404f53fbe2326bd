import numpy as np
import pytest

from inferry.core.errors import SampleError
from inferry.processing.detector_image import prepare, resize_bilinear, resized_size

SIZES = [(40, 60), (60, 40), (37, 91), (200, 150), (20, 300), (7, 7), (1, 1), (80, 133)]


def pixels_of(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def original(pixels, short_side, long_side):
    """The lines of AllenNLP's TorchImageLoader.load."""
    torch = pytest.importorskip("torch")
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 256
    image = (image - torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        -1, 1, 1
    )
    scale = short_side / min(image.shape[-2:])
    if max(image.shape[-2:]) * scale > long_side:
        scale = long_side / max(image.shape[-2:])
    return torch.nn.functional.interpolate(
        image[None], scale_factor=scale, mode="bilinear", recompute_scale_factor=True, align_corners=False
    )[0].numpy()


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equals_the_original(height, width):
    pixels = pixels_of(height, width)
    expected = original(pixels, 80, 133)
    found = prepare(pixels, 80, 133)
    assert tuple(found.image_size) == expected.shape[1:]
    rows, columns = found.image_size
    assert np.abs(found.image[0, :, :rows, :columns] - expected).max() < 2e-6
    assert found.image.dtype == np.float32
    assert found.image_size.dtype == np.int64


def test_equals_the_original_at_full_size():
    pixels = pixels_of(427, 640)
    found = prepare(pixels)
    rows, columns = found.image_size
    assert np.abs(found.image[0, :, :rows, :columns] - original(pixels, 800, 1333)).max() < 2e-6


def test_sizes_are_rounded_down_as_interpolate_does():
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(5)
    for height, width in generator.integers(30, 900, (40, 2)).tolist():
        scale = min(800 / min(height, width), 1333 / max(height, width))
        row = torch.zeros(1, 1, height, 1)
        column = torch.zeros(1, 1, 1, width)
        expected = [
            torch.nn.functional.interpolate(row, scale_factor=(scale, 1), recompute_scale_factor=True).shape[2],
            torch.nn.functional.interpolate(column, scale_factor=(1, scale), recompute_scale_factor=True).shape[3],
        ]
        assert list(resized_size(height, width)) == expected


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 640, (800, 1066)), (640, 480, (1066, 800)), (300, 900, (444, 1333)), (800, 1000, (800, 1000))],
)
def test_the_short_side_becomes_800_unless_the_long_one_would_pass_1333(height, width, expected):
    assert resized_size(height, width) == expected


def test_a_point_between_two_pixels_is_their_mean():
    planes = np.array([[[0, 4]]], np.float32)
    # Places 0.5 * 2/4 - 0.5 = -0.25 (cut to 0), 0.25, 0.75 and 1.25 (the last pixel).
    assert resize_bilinear(planes, 1, 4).tolist() == [[[0, 1, 3, 4]]]
    assert resize_bilinear(planes, 1, 1).tolist() == [[[2]]]


def test_pixels_are_divided_by_256_and_padded_with_zeros():
    found = prepare(np.full((80, 100, 3), 128, np.uint8), 80, 133)
    assert found.image.shape == (1, 3, 96, 128)
    inside = found.image[0, :, :80, :100].reshape(3, -1)
    centred = (0.5 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    assert np.abs(inside - centred[:, None]).max() < 1e-6
    assert not found.image[0, :, 80:].any()
    assert not found.image[0, :, :, 100:].any()


def test_a_grey_picture_is_one_with_three_equal_colours():
    grey = pixels_of(40, 50)[..., 0]
    coloured = prepare(np.repeat(grey[..., None], 3, axis=2), 80, 133)
    assert np.array_equal(prepare(grey, 80, 133).image, coloured.image)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture_is_refused(wrong):
    with pytest.raises(SampleError, match=r"expected uint8 \[height, width, 3\]"):
        prepare(wrong)


def test_a_strip_of_which_nothing_would_remain_is_refused():
    with pytest.raises(SampleError, match="2000x1 pixels, too long and thin"):
        prepare(np.zeros((1, 2000, 3), np.uint8))
