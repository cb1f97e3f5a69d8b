"""Read the values that a user's mask file holds: numbers, colours, or only what is marked.

Formats that keep every value are PNG, BMP and TIFF. What is lossy, as JPEG is, changes values at every edge, so that it
can say what is marked and never what number is there. Values between in a file that keeps them are numbers, or edges
that fade: `soft_edges` tells which.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dataset.masks.soft_edges import MIDDLE, has_soft_edges
from dataset.masks.source_masks import Decoded, MaskError, read_above_middle
from runtime.formats.naming import unsupported
from runtime.formats.sniff import HEAD_BYTES, sniff
from runtime.model.errors import ImageError, ImageErrorCode

_LOSSLESS = {"PNG": "PNG", "BMP": "BMP", "TIFF": "TIFF", "BigTIFF": "TIFF"}  # of `sniff`, as Pillow calls them
_LOSSY = ("JPEG", "WebP", "AVIF", "HEIC")
_LOSSY_TIFF = ("jpeg", "tiff_jpeg", "webp")
_GREY_LEVELS = {2: 85, 4: 17}  # by which Pillow multiplies the samples of a PNG of so many bits

Values = NDArray[np.int32]


def read_numbers(data: bytes) -> Values:
    """Return `(height, width)` int32 of a mask file: grey values, or indices of its palette, whatever its colours.

    Transparent pixels are 0. Raises MaskError for colours and for what is lossy, ImageError for a file that cannot be
    decoded.
    """
    image = _open(data, "numbers")
    if image.mode in ("RGB", "RGBA"):
        pixels = np.asarray(image).astype(np.int32)
        if (pixels[..., :1] != pixels[..., 1:3]).any():
            raise MaskError("it holds colours, which classes.csv must name as #rrggbb")
        return _transparent(pixels[..., 0], pixels[..., 3:])
    if image.mode in ("LA", "PA"):
        pixels = np.asarray(image).astype(np.int32)
        return _transparent(pixels[..., 0], pixels[..., 1:])
    values = np.asarray(image).astype(np.int32)
    if image.mode == "L" and data.startswith(b"\x89PNG") and data[25] == 0:
        values //= _GREY_LEVELS.get(data[24], 1)
    return values


def read_colours(data: bytes) -> Values:
    """Return `(height, width)` int32 of a mask file: 0xrrggbb of every pixel, 0 where it is transparent.

    Raises as `read_numbers` does.
    """
    image = _open(data, "colours")
    if image.mode.startswith("I"):
        raise MaskError("it holds grey values of 16 bits, and classes.csv names colours")
    pixels = np.asarray(image.convert("RGBA")).astype(np.int32)
    return _transparent(pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2], pixels[..., 3:])


def read_marked(data: bytes) -> Decoded:
    """Return 1 where a binary mask's file is not black, else 0.

    What is lossy, and what has edges that fade, is marked where it is above 127. Raises MaskError for a file that holds
    more than two values and may be an index mask, ImageError for one that cannot be decoded.
    """
    if sniff(data[:HEAD_BYTES]) in _LOSSY:
        return read_above_middle(data)
    image = _open(data, "")
    if image.mode == "1":
        return Decoded(np.asarray(image).astype(np.uint8))
    if image.mode.startswith("I"):
        return _above_middle(np.asarray(image).astype(np.int32))
    if image.mode in ("P", "PA") and not _is_grey(image):
        _refuse_between(read_numbers(data))
    colours = read_colours(data)
    found = np.unique(colours[colours != 0])
    is_grey = (found >> 16 == found & 255) & (found >> 8 & 255 == found & 255)
    if len(found) > 1 and not is_grey.all():
        raise MaskError(f"it holds {len(found)} colours, and no masks/classes.csv says what they are")
    return _above_middle(np.maximum(np.maximum(colours >> 16, colours >> 8 & 255), colours & 255))


def _above_middle(values: Values) -> Decoded:
    """Return where values of 8 or 16 bits are above 127; where edges fade, above the middle of all that the bits hold.

    Raises MaskError for values between that are not plainly such edges.
    """
    of_8_bits = (np.clip(values, 0, 65535) >> (8 if values.max() > 255 else 0)).astype(np.uint8)
    if has_soft_edges(of_8_bits):
        return Decoded((of_8_bits > MIDDLE).astype(np.uint8), has_soft_edges=True)
    _refuse_between(values)
    return Decoded((values > MIDDLE).astype(np.uint8))


def _refuse_between(values: Values) -> None:
    """Raise MaskError for numbers from 1 to 127."""
    between = np.unique(values[(values > 0) & (values <= MIDDLE)])
    if len(between):
        some = ", ".join(map(str, between[:5])) + (" ..." if len(between) > 5 else "")
        raise MaskError(
            f"it holds {some}, where a binary mask holds 0 and one value above 127, and these are not plainly edges "
            "that fade from black to white: if it is binary, save it with 0 and 255 alone"
        )


def _is_grey(image: Image.Image) -> bool:
    """Tell whether all colours of a palette that occur are grey."""
    palette = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return bool((palette[:, :1] == palette[:, 1:]).all())


def _transparent(values: Values, alpha: Values) -> Values:
    return np.where(alpha[..., 0] == 0, 0, values) if alpha.shape[-1] else values


def _open(data: bytes, wanted: str) -> Image.Image:
    """Decode to an upright picture of the mode that the file has. wanted: what a lossy file cannot give."""
    if not data:
        raise ImageError(ImageErrorCode.EMPTY, "the file is empty")
    name = sniff(data[:HEAD_BYTES])
    if name in _LOSSY:
        raise MaskError(f"a {name} changes {wanted} at every edge: save it as PNG, from what it was made of")
    if name not in _LOSSLESS:
        raise unsupported(name, data)
    try:
        stored = Image.open(io.BytesIO(data), formats=[_LOSSLESS[name]])
        frames, is_lossy = getattr(stored, "n_frames", 1), stored.info.get("compression") in _LOSSY_TIFF
        stored.load()
        image = ImageOps.exif_transpose(stored)
    except Exception as exc:  # Pillow's plugins raise OSError, SyntaxError, struct.error and more on damaged files
        raise ImageError(ImageErrorCode.CORRUPT, f"the image is truncated or corrupt: {exc}") from exc
    if frames > 1:
        raise MaskError(f"it holds {frames} pictures")
    if is_lossy and wanted:
        raise MaskError(f"a TIFF compressed as JPEG changes {wanted} at every edge: save it as PNG")
    if image.mode not in ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "I", "I;16", "I;16B", "I;16L"):
        raise MaskError(f"it is of the mode {image.mode}: save it as PNG of 8 bits")
    return image
