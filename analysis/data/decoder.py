"""Image files as pixels: what a decoder process does. It imports nothing of ours and no torch, and so stays small.

Run as a program it answers requests, a line of JSON each on standard input, until that is closed. Of one for pixels
with a line of JSON, the failures by place, and then height × width × 3 bytes an image, zeros where it failed; of one
without ``"as"`` with a line of what the files are.
"""

import hashlib
import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from PIL import Image

SHORTER = 0.875  # of an evaluated image's shorter side, its crop: 224 of 256
LEFT = (
    2  # a JPEG is decoded at 1/2, 1/4, 1/8 of its size where so many pixels of it a side remain for each of the crop's
)
WIDE = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # modes of 16 bits; the last holds 32, of which PNG uses 16
_PLAIN = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
Box = Sequence[float]  # left, top, right, bottom, in pixels


def training_crop(file: Any, size: int, box: Box) -> Image.Image:
    """The box of an image, resized to size × size (bilinear, antialiased): RGB.

    As torchvision's ``resized_crop`` has it, but that a JPEG far larger than its crop is decoded at a fraction.
    """
    with Image.open(file) as image:
        width, height = image.size
        left, top, right, bottom = box
        shrink = min(right - left, bottom - top) / (LEFT * size)
        if shrink >= 2:
            image.draft(None, (int(width / shrink), int(height / shrink)))
        rgb = as_rgb(image)
    if rgb.size != (width, height):
        across, down = rgb.width / width, rgb.height / height
        left, top, right, bottom = left * across, top * down, right * across, bottom * down
    return rgb.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, right, bottom))


def evaluation_crop(file: Any, size: int) -> Image.Image:
    """The middle of an image whose shorter side is resized to size / 0.875: RGB, as torchvision has 224 of 256."""
    with Image.open(file) as image:
        rgb = as_rgb(image)
    shorter = round(size / SHORTER)
    width, height = rgb.size
    if width <= height:
        width, height = shorter, int(shorter * height / width)
    else:
        width, height = int(shorter * width / height), shorter
    rgb = rgb.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return rgb.crop((left, top, left + size, top + size))


def whole(file: Any) -> Image.Image:
    """All of an image as it is: RGB."""
    with Image.open(file) as image:
        return as_rgb(image)


def as_rgb(image: Image.Image) -> Image.Image:
    """Eight bits a channel: grey thrice, transparency dropped, CMYK and palettes converted, 16 bits scaled.

    Raises:
        OSError: it cannot be decoded, or its pixels have no range that is known.
    """
    image.load()
    if image.mode in WIDE:
        image = _scaled(image)
    elif image.mode not in _PLAIN:
        raise OSError(f"its pixels are of mode {image.mode}, whose range is not known")
    return image if image.mode == "RGB" else image.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """16 bits as 8: convert() would clip them."""
    import numpy as np  # as good as never

    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise OSError("its pixels are of 32 bits, whose range is not known")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def examine(path: str) -> dict[str, Any]:
    """SHA-256 of a file, and the width and height of its image; or why it has none, as ``problem``."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        return {"sha256": "", "width": 0, "height": 0, "problem": error.strerror or str(error)}
    found = {"sha256": hashlib.sha256(content).hexdigest(), "width": 0, "height": 0, "problem": ""}
    try:
        rgb = whole(io.BytesIO(content))
        found["width"], found["height"] = rgb.size
    except MemoryError:
        raise  # no fault of the file's
    except Exception as error:  # whatever a damaged file makes PIL raise
        found["problem"] = _words(error)
    return found


def _words(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no image of a known format"
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__


def answer(request: dict[str, Any]) -> list[bytes]:
    """What a request is answered with: a line of JSON, and the pixels if any."""
    if "as" not in request:
        return [json.dumps([examine(path) for path in request["paths"]]).encode() + b"\n"]
    width, height = request["width"], request["height"]
    failures, pixels = {}, []
    for place, path in enumerate(request["paths"]):
        try:
            if request["as"] == "training":
                image = training_crop(path, width, request["boxes"][place])
            else:
                image = evaluation_crop(path, width) if request["as"] == "evaluation" else whole(path)
            if image.size != (width, height):
                raise OSError(f"it has {image.width} × {image.height} pixels now, not {width} × {height}")
            pixels.append(image.tobytes())
        except MemoryError:
            raise
        except Exception as error:  # whatever a damaged file makes PIL raise
            failures[place] = _words(error)
            pixels.append(bytes(width * height * 3))
    return [json.dumps(failures).encode() + b"\n", *pixels]


def main() -> None:
    """Ends when standard input is closed, as it is when the other process ends, however that does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other process's matter
    warnings.simplefilter("ignore")  # of PIL, on files that it reads nevertheless
    Image.preinit()
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever prints something
    try:
        for line in requests:
            for part in answer(json.loads(line)):
                rest = memoryview(part)
                while rest:
                    rest = rest[answers.write(rest) :]
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    main()
