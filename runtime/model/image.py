"""Bytes to pixels: the only place where an image is decoded, for training, evaluation and the service alike.

What comes out is what a person would see: turned as EXIF says, colours brought to sRGB, palettes and CMYK expanded,
transparency over white, deep samples scaled to 8 bits, grey repeated over three channels. The format is told by
content, never by name. A picture is read right or refused with its true reason; `runtime/formats` has a reader each.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from runtime.formats.bmp import read_bmp
from runtime.formats.colour import to_srgb
from runtime.formats.isobmff import read_avif, read_heic
from runtime.formats.jpeg import read_jpeg
from runtime.formats.naming import unsupported
from runtime.formats.orientation import upright
from runtime.formats.png import read_png
from runtime.formats.sniff import HEAD_BYTES, sniff
from runtime.formats.stored import AtLeast, ReadOptions, Size, StoredPicture
from runtime.formats.tiff import read_tiff
from runtime.formats.webp import read_webp
from runtime.model.errors import ImageError, ImageErrorCode, ViewError

# What is decoded at most unless a bound is stated: 89 megapixels, 270 MB.
MAX_PIXELS = 89_478_485
# What a JPEG may have whose pixels are decoded at reduced scale, unless a bound is stated: all phones, and about 1 s.
MAX_REDUCED_PIXELS = 4 * MAX_PIXELS

ImageArray = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


_READERS: dict[str, Callable[[bytes, ReadOptions], StoredPicture]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "WebP": read_webp,
    "BMP": read_bmp,
    "AVIF": read_avif,
    "HEIC": read_heic,
    "TIFF": read_tiff,
    "BigTIFF": read_tiff,
}


def decode_image(
    data: bytes, max_pixels: int | None = None, at_least: Size | None = None, max_value: int | None = None
) -> ImageArray:
    """Decode one encoded image to RGB; see `open_image`. Returns `(height, width, 3)` uint8."""
    return np.asarray(open_image(data, max_pixels, at_least, max_value))


def open_image(
    data: bytes, max_pixels: int | None = None, at_least: Size | None = None, max_value: int | None = None
) -> Image.Image:
    """Decode one encoded image to an upright Pillow image of mode RGB, in sRGB.

    max_pixels: largest width x height of the file. None: `MAX_PIXELS` are decoded at most, so that a JPEG which comes
    out at reduced scale may have `MAX_REDUCED_PIXELS`; not a progressive one, whose coefficients are held as a whole.
    at_least: (height, width) below which neither side is reduced. A JPEG may then come out at 1/2, 1/4 or 1/8 of its
    size, because decoding fewer DCT coefficients is faster; other formats and `None` give every pixel.
    max_value: white in samples of more than 8 bits whose file does not state their range; None is the container's.
    Size limits are checked on the header, before pixels are decoded.
    Raises ImageError with a code if the bytes are empty, of an unsupported format, truncated, corrupt or too large.
    """
    return _to_srgb(_read(data, _options(max_pixels, at_least, max_value)))


def open_for_resizing(
    data: bytes, max_pixels: int | None, at_least: AtLeast | None, max_value: int | None = None
) -> tuple[Image.Image, bytes, Size]:
    """Decode like `open_image`, but leave colours for `runtime.formats.colour.to_srgb` until there are fewer pixels.

    at_least: also a function that makes it of the (height, width) of the upright picture, before pixels are decoded;
    its ViewError passes. Returns the picture, of mode RGB, the profile to be applied once it has been resized, b"" if
    there is none, and the (height, width) that the upright picture has unreduced.
    """
    shown = _read(data, _options(max_pixels, at_least, max_value))
    return shown.image, shown.profile, shown.size


def decode_with_size(
    data: bytes, at_least: Size, max_value: int | None = None, max_pixels: int | None = None
) -> tuple[ImageArray, Size]:
    """Decode like `decode_image`; return also the (height, width) that the upright picture has unreduced."""
    shown = _read(data, _options(max_pixels, at_least, max_value))
    return np.asarray(_to_srgb(shown)), shown.size


def _options(max_pixels: int | None, at_least: AtLeast | None, max_value: int | None) -> ReadOptions:
    if max_pixels is None:
        return ReadOptions(MAX_PIXELS, MAX_REDUCED_PIXELS, at_least, max_value)
    return ReadOptions(max_pixels, max_pixels, at_least, max_value)


@dataclass(frozen=True, slots=True)
class _Shown:
    """An upright picture of mode RGB, the profile that its colours still have, and its (height, width) unreduced."""

    image: Image.Image
    profile: bytes
    size: Size


def _read(data: bytes, options: ReadOptions) -> _Shown:
    if not data:
        raise ImageError(ImageErrorCode.EMPTY, "the file is empty")
    name = sniff(data[:HEAD_BYTES])
    reader = _READERS.get(name)
    if reader is None:
        raise unsupported(name, data)
    try:
        stored = reader(data, options)
        image, profile = upright(stored.image, stored.orientation), stored.profile
        if image.mode != "RGB" or image.has_transparency_data:
            image, profile = _over_white(to_srgb(image, profile)), b""
    except (ImageError, ViewError):
        raise
    except Exception as exc:  # Pillow's plugins raise OSError, SyntaxError, struct.error and more on damaged files
        raise ImageError(ImageErrorCode.CORRUPT, f"the image is truncated or corrupt: {exc}") from exc
    return _Shown(image, profile, stored.size[::-1] if stored.orientation >= 5 else stored.size)


def _to_srgb(shown: _Shown) -> Image.Image:
    return to_srgb(shown.image, shown.profile)


def _over_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
