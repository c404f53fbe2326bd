import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.ascend.aipp import Normalisation, aipp_text, emulate_aipp, rounding_bound
from inferry.ascend.atc_aipp import aipp_problems, parse_aipp
from inferry.core.errors import UsageError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLAIN = "aipp_mode: static input_format: RGB888_U8"


def block(fields):
    parsed = parse_aipp(f"aipp_op {{ {fields} }}")
    assert not parsed.problems
    assert aipp_problems(parsed.blocks) == []
    return parsed.blocks[0]


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, channels), np.uint8)


def test_fractional_means_go_into_min_chn():
    form = Normalisation.of(*IMAGENET)
    assert form.mean == (123, 116, 103)
    assert form.least == (0.675, 0.28, 0.53)
    assert form.reciprocal == pytest.approx([1 / (std * 255) for std in IMAGENET[1]])
    assert Normalisation.of((0.4, 0, 1), (1, 1, 1)).mean == (102, 0, 255)
    assert Normalisation.of((0.4, 0, 1), (1, 1, 1)).least == (0, 0, 0)


def test_the_file():
    text = aipp_text(Normalisation.of(*IMAGENET), (224, 256))
    (made,) = parse_aipp(text).blocks
    assert made.fields["src_image_size_w"] == "256"
    assert made.fields["src_image_size_h"] == "224"
    assert (made.fields["mean_chn_0"], made.fields["min_chn_0"]) == ("123", "0.675")
    assert made.fields["var_reci_chn_2"] == "0.0174291939"
    assert not any(
        name.startswith("src_image")
        for name in parse_aipp(aipp_text(Normalisation.of(*IMAGENET), None)).blocks[0].fields
    )


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((1.01, 0, 0), (1, 1, 1), "cannot subtract a mean of 1.01"),
        ((0, -0.1, 0), (1, 1, 1), "cannot subtract a mean of -0.1"),
        ((0, 0, 0), (1, 1, 1e-9), "cannot divide by a deviation of 1e-09"),
        ((0, 0, 0), (1, 1e9, 1), r"cannot divide by a deviation of 1e\+09"),
    ],
)
def test_what_no_field_holds_is_refused(mean, std, message):
    with pytest.raises(UsageError, match=message):
        Normalisation.of(mean, std)


def test_pictures_that_aipp_does_not_take_are_refused():
    with pytest.raises(UsageError, match="src_image_size_w: 4097 is out of range"):
        aipp_text(Normalisation.of(*IMAGENET), (4096, 4097))


def test_the_formula_in_half_precision():
    fields = " ".join(f"mean_chn_{c}: 123 min_chn_{c}: 0.675 var_reci_chn_{c}: 0.0171" for c in range(3))
    pixels = picture(2, 4)
    wanted = ((pixels.astype(np.float16) - 123) - np.float16(0.675)) * np.float16(0.0171)
    found = emulate_aipp(block(f"{PLAIN} {fields}"), pixels)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, wanted.transpose(0, 3, 1, 2))


def test_without_fields_a_pixel_is_its_value():
    pixels = picture(3, 5)
    np.testing.assert_array_equal(emulate_aipp(block(PLAIN), pixels), pixels.transpose(0, 3, 1, 2))
    grey = picture(3, 5, 1)
    found = emulate_aipp(block("aipp_mode: static input_format: YUV400_U8"), grey)
    np.testing.assert_array_equal(found, grey.transpose(0, 3, 1, 2))


def test_swaps_come_before_the_crop_and_padding_comes_last():
    fields = (
        f"{PLAIN} src_image_size_w: 8 src_image_size_h: 6 rbuv_swap_switch: true crop: true load_start_pos_w: 2 "
        "load_start_pos_h: 1 crop_size_w: 4 crop_size_h: 3 padding: true left_padding_size: 1 bottom_padding_size: 2 "
        "padding_value: 9 mean_chn_0: 10"
    )
    pixels = picture(6, 8)
    found = emulate_aipp(block(fields), pixels)
    assert found.shape == (1, 3, 5, 5)
    inside = pixels[0, 1:4, 2:6].astype(int)
    np.testing.assert_array_equal(found[0, 0, :3, 1:], inside[..., 2] - 10)
    np.testing.assert_array_equal(found[0, 2, :3, 1:], inside[..., 0])
    assert (found[:, :, 3:] == 9).all()
    assert (found[..., 0] == 9).all()


def test_a_crop_may_be_one_pixel_in_the_last_corner():
    pixels = picture(6, 8)
    size, corner = "src_image_size_w: 8 src_image_size_h: 6", "load_start_pos_w: 7 load_start_pos_h: 5"
    fields = f"{PLAIN} {size} crop: true {corner} crop_size_w: 1 crop_size_h: 1"
    np.testing.assert_array_equal(emulate_aipp(block(fields), pixels)[0, :, 0, 0], pixels[0, 5, 7])


def test_four_channels_lose_the_one_that_is_no_colour():
    pixels = picture(2, 2, 4)
    four = "aipp_mode: static input_format: XRGB8888_U8"
    np.testing.assert_array_equal(
        emulate_aipp(block(f"{four} ax_swap_switch: true"), pixels), pixels[..., 1:].transpose(0, 3, 1, 2)
    )
    np.testing.assert_array_equal(emulate_aipp(block(four), pixels), pixels[..., :3].transpose(0, 3, 1, 2))


def test_colour_conversion_is_whole_numbers():
    matrix = ((298, 516, 0), (298, -100, -208), (298, 0, 409))
    fields = " ".join(f"matrix_r{r}c{c}: {matrix[r][c]}" for r in range(3) for c in range(3))
    fields += " input_bias_0: 16 input_bias_1: 128 input_bias_2: 128 output_bias_1: 5 csc_switch: true"
    pixels = np.array([[[[16, 128, 128], [235, 128, 128], [81, 90, 240]]]], np.uint8)
    found = emulate_aipp(block(f"{PLAIN} {fields}"), pixels)[0, :, 0].T
    # White: 298 * 219 >> 8 = 254; the third is BT.601's pure red, in the order blue, green, red.
    np.testing.assert_array_equal(found, [[0, 5, 0], [254, 255, 254], [0, 4, 254]])


@pytest.mark.parametrize(
    ("fields", "pixels", "message"),
    [
        ("aipp_mode: dynamic max_src_image_size: 1000", picture(2, 2), "a dynamic block is not emulated"),
        ("aipp_mode: static input_format: YUV420SP_U8", picture(2, 2), "YUV420SP_U8 is not emulated"),
        (PLAIN, picture(2, 2, 4), r"RGB888_U8 takes uint8 \(batch, height, width, 3\)"),
        (PLAIN, picture(2, 2).astype(np.float32), "not float32"),
        (PLAIN, picture(2, 2)[0], r"not uint8 \(2, 2, 3\)"),
        (f"{PLAIN} src_image_size_w: 4 src_image_size_h: 2", picture(2, 6), "takes pictures of 4x2, not 6x2"),
    ],
)
def test_what_is_not_emulated_is_refused(fields, pixels, message):
    with pytest.raises(UsageError, match=message):
        emulate_aipp(block(fields), pixels)


shares = st.floats(0, 1)
deviations = st.floats(0.01, 10)


@settings(max_examples=50)
@given(st.tuples(shares, shares, shares), st.tuples(deviations, deviations, deviations))
def test_all_values_are_the_formula_s_but_for_half_precision(mean, std):
    form = Normalisation.of(mean, std)
    levels = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 3, axis=3)
    found = emulate_aipp(parse_aipp(aipp_text(form, (16, 16))).blocks[0], levels).astype(np.float64)
    wanted = ((levels / 255 - mean) / std).transpose(0, 3, 1, 2)
    assert (np.abs(found - wanted) <= rounding_bound(wanted.astype(np.float32), form)).all()


def test_the_bound_finds_a_mean_without_its_fraction():
    form = Normalisation.of(*IMAGENET)
    wrong = Normalisation(form.mean, (0.0, 0.0, 0.0), form.reciprocal)
    levels = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 3, axis=3)
    found = emulate_aipp(parse_aipp(aipp_text(wrong, (16, 16))).blocks[0], levels).astype(np.float64)
    wanted = ((levels / 255 - IMAGENET[0]) / IMAGENET[1]).transpose(0, 3, 1, 2)
    assert (np.abs(found - wanted) > rounding_bound(wanted.astype(np.float32), form)).any(axis=(0, 2, 3)).all()
