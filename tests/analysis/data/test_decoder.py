"""Files to pixels: torchvision's crops, and every mode that image files have."""

import hashlib
import json

import numpy as np
import pytest
from pictures import picture, save
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from mixlens.analysis.data.decoder import answer, evaluation_crop, examine, training_crop, whole


@pytest.mark.parametrize("box", [(3, 5, 37, 30), (0, 0, 40, 32), (10, 4, 22, 20)])
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_training_crop_is_torchvisions(tmp_path, box, ending):
    path = save(tmp_path / f"a.{ending}")
    left, top, right, bottom = box
    with Image.open(path) as image:
        cut = functional.resized_crop(image.convert("RGB"), top, left, bottom - top, right - left, [16, 16])
    ours, theirs = (np.asarray(one).astype(int) for one in (training_crop(path, 16, box), cut))
    assert np.abs(ours[1:-1, 1:-1] - theirs[1:-1, 1:-1]).max() <= 1
    assert np.abs(ours - theirs).max() <= 4, "at its borders resize(box=…) sees a pixel beyond, as crop() does not"


@pytest.mark.parametrize("sides", [(40, 32), (32, 40), (33, 33), (300, 31)])
def test_an_evaluation_crop_is_torchvisions(tmp_path, sides):
    path = save(tmp_path / "a.png", width=sides[0], height=sides[1])
    transform = v2.Compose([v2.Resize(round(28 / 0.875), antialias=True), v2.CenterCrop(28)])
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(evaluation_crop(path, 28)), np.asarray(transform(image.convert("RGB"))))


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same(tmp_path, monkeypatch):
    path = save(tmp_path / "a.jpg", width=1600, height=1200, quality=95)
    box, asked = (101, 53, 1501, 1153), []
    quick = np.asarray(training_crop(path, 32, box)).astype(int)
    monkeypatch.setattr(JpegImageFile, "draft", lambda *given: asked.append(given[1:]))
    exact = np.asarray(training_crop(path, 32, box)).astype(int)
    assert asked == [(None, (93, 69))]
    assert 0 < np.abs(quick - exact).max() <= 3


@pytest.mark.parametrize(
    ("mode", "ending", "options"),
    [
        ("L", "png", {}),
        ("L", "jpg", {}),
        ("1", "png", {}),
        ("P", "png", {}),
        ("LA", "png", {}),
        ("RGBA", "png", {}),
        ("CMYK", "jpg", {}),
        ("CMYK", "tif", {}),
        ("YCbCr", "jpg", {}),
        ("RGB", "webp", {}),
        ("RGB", "bmp", {}),
        ("RGB", "ppm", {}),
        ("P", "png", {"transparency": 3}),
    ],
)
def test_every_mode_becomes_eight_bits_of_red_green_and_blue(tmp_path, mode, ending, options):
    path = save(tmp_path / f"a.{ending}", mode=mode, **options)
    pixels = np.asarray(whole(path))
    assert pixels.shape == (32, 40, 3)
    with Image.open(path) as image:
        assert np.array_equal(pixels, np.asarray(image.convert("RGB")))
    if mode in ("RGB", "RGBA", "CMYK", "YCbCr"):
        assert np.abs(pixels.astype(int) - picture(0)).mean() < 6, "the picture that it was made from"


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, ending):
    values = np.linspace(0, 65535, 40 * 32).astype(np.uint16).reshape(32, 40)
    Image.fromarray(values).save(tmp_path / f"a.{ending}")
    pixels = np.asarray(whole(tmp_path / f"a.{ending}"))
    assert np.array_equal(pixels[..., 0], np.round(values / 257).astype(np.uint8))
    assert (pixels[..., :1] == pixels).all()


def test_pixels_without_a_known_range_are_refused(tmp_path):
    Image.fromarray(np.linspace(0, 9, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "a.tif")
    assert "mode F, whose range is not known" in examine(str(tmp_path / "a.tif"))["problem"]
    Image.fromarray(np.arange(64, dtype=np.int32).reshape(8, 8) * 99_999).save(tmp_path / "b.tif")
    assert "32 bits" in examine(str(tmp_path / "b.tif"))["problem"]


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "webp", "tif"])
def test_a_truncated_file_is_told_from_a_whole_one(tmp_path, ending):
    path = save(tmp_path / f"a.{ending}", width=200, height=160)
    content = path.read_bytes()
    assert examine(str(path)) == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "width": 200,
        "height": 160,
        "problem": "",
    }
    path.write_bytes(content[: len(content) // 2])
    assert examine(str(path))["problem"]
    assert examine(str(path))["sha256"] == hashlib.sha256(content[: len(content) // 2]).hexdigest()


def test_what_is_no_image_is_said_to_be_none(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    (tmp_path / "b.jpg").write_bytes(b"")
    assert [examine(str(tmp_path / name))["problem"] for name in ("a.jpg", "b.jpg")] == [
        "it is no image of a known format"
    ] * 2
    assert "No such file" in examine(str(tmp_path / "c.jpg"))["problem"]


def test_failures_are_named_by_place_and_their_pixels_are_zeros(tmp_path):
    good = str(save(tmp_path / "a.png", width=8, height=8))
    request = {"as": "whole", "width": 8, "height": 8, "paths": [good, str(tmp_path / "no"), good], "boxes": None}
    line, *pixels = answer(request)
    assert "No such file" in json.loads(line).pop("1")
    assert [len(one) for one in pixels] == [192] * 3
    assert pixels[0] == pixels[2] == picture(0, 8, 8).tobytes()
    assert not any(pixels[1])
    (line, _) = answer({**request, "height": 9, "paths": [good], "boxes": None})
    assert b"it has 8 \\u00d7 8 pixels now" in line
