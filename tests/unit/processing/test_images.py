"""Each expectation is written out in Pillow's and numpy's own operations, never by the module under test."""

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from inferry.core.errors import BundleError, SampleError, UsageError
from inferry.core.samples import Audio, AudioFile, Image, ImageFile, Question
from inferry.processing import images
from inferry.processing.images import ImageSettings, probes, processor, resized_and_cropped

CONFIG = {"input": {"kind": "image", "resize": 256, "size": 224, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}
SETTINGS = ImageSettings(256, 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def photo(width=300, height=200, seed=0):
    """Colours that change slowly, as in a photo."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return PIL.Image.fromarray(small).resize((width, height), PIL.Image.Resampling.BILINEAR)


def pixels_of(features):
    """Before normalisation: exact, because (v/255 - 0.5)/0.5 keeps all 256 values apart."""
    return np.rint((features.inputs["pixel_values"] * 0.5 + 0.5) * 255).astype(np.uint8).transpose(1, 2, 0)


def process(path):
    return processor(CONFIG, {}, {}).process(ImageFile(path))


def test_golden_pixels_are_equal_to_the_last_bit(shared):
    folder = shared / "golden" / "beit"
    expected = np.load(folder / "expected.npz")["pixel_values"]
    for path, truth in zip(sorted((folder / "images").iterdir()), expected, strict=True):
        features = process(path)
        values = features.inputs["pixel_values"]
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
        assert np.array_equal(values, truth)
        assert (features.length, features.seconds, features.answer) == (1, None, None)


def test_all_real_photos_are_read(shared):
    tool = processor(CONFIG, {}, {})
    photos = [
        path for name in ("photos_imagenet", "caltech101_imagenet") for path in (shared / "data" / name).rglob("*")
    ]
    photos = [path for path in photos if path.suffix in {".jpg", ".png", ".bmp"}]
    assert len(photos) >= 170
    for path in photos:
        values = tool.process(ImageFile(path)).inputs["pixel_values"]
        assert values.shape == (3, 224, 224)
        assert np.abs(values).max() <= 1


def test_a_landscape_photo_by_hand(tmp_path):
    path = tmp_path / "a.png"
    photo(301, 200).save(path)
    # 256 * 301 / 200 = 385.28, cut to 385; (385 - 224) / 2 = 80.5, rounded to the even 80; (256 - 224) / 2 = 16.
    resized = photo(301, 200).resize((385, 256), PIL.Image.Resampling.BICUBIC)
    expected = np.asarray(resized.crop((80, 16, 304, 240)))
    assert np.array_equal(resized_and_cropped(photo(301, 200), SETTINGS), expected)
    assert np.array_equal(pixels_of(process(path)), expected)
    values = process(path).inputs["pixel_values"]
    scaled = expected.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    assert np.array_equal(values, (scaled - np.float32(0.5)) / np.float32(0.5))


def test_a_portrait_photo_by_hand():
    # 256 * 333 / 199 = 428.38, cut to 428; (428 - 224) / 2 = 102.
    expected = photo(199, 333).resize((256, 428), PIL.Image.Resampling.BICUBIC).crop((16, 102, 240, 326))
    assert np.array_equal(resized_and_cropped(photo(199, 333), SETTINGS), np.asarray(expected))


def test_a_corner_at_one_and_a_half_is_rounded_to_two():
    settings = ImageSettings(7, 4, (0.0,) * 3, (1.0,) * 3)
    expected = photo(7, 7).resize((7, 7), PIL.Image.Resampling.BICUBIC).crop((2, 2, 6, 6))
    assert np.array_equal(resized_and_cropped(photo(7, 7), settings), np.asarray(expected))


def test_a_picture_smaller_than_the_crop_is_padded_with_the_odd_pixel_last():
    settings = ImageSettings(5, 10, (0.0,) * 3, (1.0,) * 3)
    found = resized_and_cropped(photo(9, 5), settings)
    expected = np.zeros((10, 10, 3), np.uint8)
    expected[2:7, :9] = np.asarray(photo(9, 5).resize((9, 5), PIL.Image.Resampling.BICUBIC))
    assert np.array_equal(found, expected)


def test_one_side_padded_and_the_other_cut():
    settings = ImageSettings(5, 8, (0.0,) * 3, (1.0,) * 3)
    expected = np.zeros((8, 8, 3), np.uint8)
    expected[1:6] = np.asarray(photo(20, 5))[:, 6:14]
    assert np.array_equal(resized_and_cropped(photo(20, 5), settings), expected)


def test_each_channel_has_its_own_mean_and_deviation(tmp_path):
    config = {"input": CONFIG["input"] | {"mean": [0.1, 0.2, 0.3], "std": [1, 2, 4]}}
    values = processor(config, {}, {}).process(Image(np.full((50, 40, 3), 51, np.uint8))).inputs["pixel_values"]
    assert values[:, 0, 0].tolist() == pytest.approx([0.1, 0.0, -0.025], abs=1e-7)


def kinds():
    """Pictures in every mode that the original converts."""
    rgb = photo()
    alpha = rgb.copy()
    alpha.putalpha(PIL.Image.linear_gradient("L").resize(rgb.size))
    palette = rgb.quantize(64)
    deep = PIL.Image.fromarray(np.arange(300 * 200, dtype=np.uint16).reshape(200, 300))
    return {
        "rgb.jpg": rgb, "rgb.bmp": rgb, "rgb.webp": rgb, "rgb.ppm": rgb, "rgb.jp2": rgb, "grey.png": rgb.convert("L"),
        "bits.png": rgb.convert("1"), "grey-alpha.png": rgb.convert("LA"), "alpha.png": alpha, "palette.png": palette,
        "palette.gif": palette, "cmyk.jpg": rgb.convert("CMYK"), "cmyk.tif": rgb.convert("CMYK"), "deep.png": deep,
        "deep.tif": deep,
    }  # fmt: skip


@pytest.mark.parametrize("name", kinds())
def test_every_mode_is_converted_as_pillow_does(tmp_path, name):
    path = tmp_path / name
    kinds()[name].save(path)
    with PIL.Image.open(path) as picture:
        expected = picture.convert("RGB").resize((384, 256), PIL.Image.Resampling.BICUBIC).crop((80, 16, 304, 240))
    assert np.array_equal(pixels_of(process(path)), np.asarray(expected))


def test_deep_grey_is_clipped_as_by_the_original(tmp_path):
    path = tmp_path / "deep.png"
    PIL.Image.fromarray(np.full((30, 30), 40_000, np.uint16)).save(path)
    assert (pixels_of(process(path)) == 255).all()


def test_the_orientation_of_a_camera_is_not_applied(tmp_path):
    turned, plain = tmp_path / "turned.jpg", tmp_path / "plain.jpg"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    photo().save(turned, exif=exif)
    photo().save(plain)
    with PIL.Image.open(turned) as picture:
        assert picture.getexif()[0x0112] == 6
    assert np.array_equal(pixels_of(process(turned)), pixels_of(process(plain)))


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_the_first_frame_of_an_animation_is_taken(tmp_path, suffix):
    path = tmp_path / f"moving.{suffix}"
    frames = [PIL.Image.new("RGB", (40, 40), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    red, green, blue = pixels_of(process(path))[112, 112]
    assert (red > 250, green < 5, blue < 5) == (True, True, True)


def test_transparency_in_a_palette_raises_no_warning(tmp_path):
    path = tmp_path / "p.png"
    photo().quantize(8).save(path, transparency=bytes([0, 128, 255, 255, 255, 255, 255, 255]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        process(path)
    assert caught == []


def test_warnings_are_as_before_after_many_threads(tmp_path):
    path = tmp_path / "p.png"
    photo().quantize(8).save(path, transparency=bytes(range(8)))
    before = list(warnings.filters)
    threads = [threading.Thread(target=process, args=(path,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


def test_reading_first_gives_the_same_features(tmp_path):
    path = tmp_path / "a.jpg"
    photo().save(path)
    tool = processor(CONFIG, {}, {})
    picture = tool.read(ImageFile(path))
    assert picture.pixels.shape == (200, 300, 3)
    assert np.array_equal(pixels_of(tool.process(picture)), pixels_of(process(path)))


def test_what_stands_for_a_sample(tmp_path):
    tool = processor(CONFIG, {}, {})
    assert tool.source("a.jpg") == ImageFile(Path("a.jpg"))
    assert tool.source(Path("a.jpg")) == ImageFile(Path("a.jpg"))
    pixels = np.zeros((3, 4, 3), np.uint8)
    assert tool.source(pixels).pixels is pixels
    picture = Image(pixels)
    assert tool.source(picture) is picture
    with pytest.raises(UsageError, match="not int"):
        tool.source(3)
    for other, said in ((AudioFile(Path("a.wav")), "a sound"), (Question(text="why?"), "a question")):
        with pytest.raises(UsageError, match=f"expected a picture, found {said}"):
            tool.source(other)
    assert tool.measure(ImageFile(tmp_path / "missing.jpg")) == 1


def encoded(kind):
    file = io.BytesIO()
    photo().save(file, kind)
    return file.getvalue()


def png_chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def huge_png(width, height):
    """A few bytes that claim many pixels."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + png_chunk(b"IEND", b"")


BAD = {
    "empty.jpg": (b"", "the file is empty"),
    "text.png": (b"this is no picture\n" * 20, "no picture"),
    "short.jpg": (encoded("JPEG")[:3000], "truncated"),
    "short.png": (encoded("PNG")[:3000], "cannot be decoded"),
    "short.bmp": (encoded("BMP")[:3000], "truncated"),
    "short.tif": (encoded("TIFF")[:3000], "cannot be decoded|no picture"),
    "short.webp": (encoded("WEBP")[:300], "cannot be decoded|no picture"),
    "bomb.png": (huge_png(60_000, 60_000), "too many pixels, as a decompression bomb does; at most 178,956,970"),
    "below-the-limit.png": (huge_png(13_000, 13_000), "cannot be decoded"),
    "program.eps": (encoded("EPS"), "no picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_a_sentence(tmp_path, name):
    content, reason = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SampleError, match=reason) as caught:
        process(tmp_path / name)
    assert caught.value.stage == "read"


def test_more_pixels_than_pillow_warns_of_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 55_000)
    photo().save(tmp_path / "a.png")
    assert process(tmp_path / "a.png").length == 1


def test_the_limit_holds_where_pillow_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "a.png").write_bytes(huge_png(60_000, 60_000))
    with pytest.raises(SampleError, match="60,000 x 60,000 pixels are too many"):
        process(tmp_path / "a.png")


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(SampleError, match="does not exist"):
        process(tmp_path / "nowhere.jpg")
    with pytest.raises(SampleError, match="this is a folder"):
        process(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(SampleError, match="no regular file"):
        process(tmp_path / "pipe.jpg")
    with pytest.raises(SampleError, match=r"cannot be read|does not exist"):
        process(Path("a\0b.jpg"))
    with pytest.raises(SampleError, match=r"cannot be read: .*too long"):
        process(tmp_path / ("a" * 300 + ".jpg"))


def test_a_picture_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise MemoryError

    photo().save(tmp_path / "a.png")
    monkeypatch.setattr(PIL.Image.Image, "convert", full)
    with pytest.raises(SampleError, match="fit into memory"):
        process(tmp_path / "a.png")


def test_a_line_of_pixels_is_refused_before_it_fills_the_memory():
    with pytest.raises(SampleError, match="too narrow") as caught:
        processor(CONFIG, {}, {}).process(Image(np.zeros((1, 9000, 3), np.uint8)))
    assert caught.value.stage == "process"


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((4, 4, 3)), "uint8, not float64"),
        (np.zeros((4, 4), np.uint8), r"not \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"not \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        ([[0]], "not list"),
    ],
)
def test_bad_pixels_in_memory(pixels, reason):
    with pytest.raises(SampleError, match=reason):
        processor(CONFIG, {}, {}).process(Image(pixels))


def test_a_sound_is_no_picture():
    sound = Audio(np.zeros(4, np.float32), 16_000)
    tool = processor(CONFIG, {}, {})
    for use in (tool.measure, tool.read, tool.process):
        with pytest.raises(SampleError, match="found a sound"):
            use(sound)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kind": "waveform"}, "available: image"), ({"std": [0, 1, 1]}, "broken"), ({"mean": [1]}, "broken"),
     ({"size": "x"}, "broken"), ({"resize": 0}, "broken"), ({"interpolation": "bilinear"}, "available: bicubic")],
)  # fmt: skip
def test_a_broken_processor_json(change, message):
    with pytest.raises(BundleError, match=message):
        processor({"input": CONFIG["input"] | change}, {}, {})
    with pytest.raises(BundleError, match="KeyError"):
        processor({}, {}, {})


def test_probes_are_seeded_pictures_of_several_shapes():
    first, second = probes(CONFIG), probes(CONFIG)
    assert len({picture.pixels.shape for picture in first}) == 4
    for one, other in zip(first, second, strict=True):
        assert one.pixels.dtype == np.uint8
        assert one.pixels.std() > 20
        assert np.array_equal(one.pixels, other.pixels)
    tool = images.processor(CONFIG, {}, {})
    assert {tool.process(one).inputs["pixel_values"].shape for one in first} == {(3, 224, 224)}
