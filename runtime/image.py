"""Bytes to pixels: the only place where an image is decoded, for training, evaluation and the service alike.

What comes out is what a person would see: EXIF orientation applied, palettes and CMYK expanded, transparency over
white, 16-bit scaled to 8, grey-scale repeated over three channels. The format is told by content, never by name.
"""

import io

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile  # also of MPO, the multi-picture JPEGs of phones

from runtime.errors import ImageError, ImageErrorCode
from runtime.formats.sniff import HEAD_BYTES, sniff
from runtime.formats.tiff import read_tiff

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
# Pillow's own threshold, 89 megapixels: above nearly any camera, 270 MB once decoded. Above it Pillow also warns, and
# silencing that would mean changing process-wide state from request threads.
MAX_PIXELS = 89_478_485
# Encoders write about 10 scans. Each scan walks the whole picture again, so a small file with thousands of them keeps
# a core busy for hours. Source: "Two Issues with the JPEG Standard", libjpeg-turbo project.
MAX_JPEG_SCANS = 100
_START_OF_SCAN = b"\xff\xda"  # inside coded data 0xff is followed by 0x00, so this is never data
# Pixels of `at_least` by which the far edge may move where the scale does not divide a side: far below what is seen.
_MAX_SLIVER = 0.2

ImageArray = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Size = tuple[int, int]  # height, width


def decode_image(
    data: bytes, max_pixels: int = MAX_PIXELS, at_least: Size | None = None, max_value: int | None = None
) -> ImageArray:
    """Decode one encoded image to RGB; see `open_image`. Returns `(height, width, 3)` uint8."""
    return np.asarray(open_image(data, max_pixels, at_least, max_value))


def open_image(
    data: bytes, max_pixels: int = MAX_PIXELS, at_least: Size | None = None, max_value: int | None = None
) -> Image.Image:
    """Decode one encoded image to an upright Pillow image of mode RGB.

    at_least: (height, width) below which neither side is reduced. A JPEG may then come out at 1/2, 1/4 or 1/8 of its
    size, because decoding fewer DCT coefficients is faster; other formats and `None` give every pixel.
    max_value: white in samples of more than 8 bits whose file does not state its range, as `ModelContract.max_value`.
    Size limits are checked on the header, before pixels are decoded.
    Raises ImageError with a code if the bytes are empty, of an unsupported format, truncated, corrupt or too large.
    """
    if not data:
        raise ImageError(ImageErrorCode.EMPTY, "the file is empty")
    if sniff(data[:HEAD_BYTES]) in ("TIFF", "BigTIFF"):
        return _open_tiff(data, max_pixels, max_value)
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            ImageErrorCode.TOO_MANY_PIXELS,
            f"the image has {width} x {height} pixels; at most {max_pixels} pixels are accepted",
        )
    if image.format in ("JPEG", "MPO") and data.count(_START_OF_SCAN) > MAX_JPEG_SCANS:
        raise ImageError(ImageErrorCode.CORRUPT, f"the JPEG has more than {MAX_JPEG_SCANS} scans")
    try:
        return _to_rgb(_upright(_load(image, at_least)))
    except Exception as exc:  # Pillow's plugins raise OSError, SyntaxError, struct.error and more on damaged files
        raise ImageError(ImageErrorCode.CORRUPT, f"the image is truncated or corrupt: {exc}") from exc


def _open_tiff(data: bytes, max_pixels: int, max_value: int | None) -> Image.Image:
    try:
        return _to_rgb(read_tiff(data, max_pixels, max_value))
    except ImageError:
        raise
    except Exception as exc:  # whatever bytes made to mislead may still bring about
        raise ImageError(ImageErrorCode.CORRUPT, f"the image is truncated or corrupt: {exc}") from exc


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as exc:
        raise ImageError(
            ImageErrorCode.UNSUPPORTED, f"not an image in a supported format ({', '.join(FORMATS)})"
        ) from exc
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:  # the latter where warnings raise
        raise ImageError(ImageErrorCode.TOO_MANY_PIXELS, f"the image is too large: {exc}") from exc
    except Exception as exc:
        raise ImageError(ImageErrorCode.CORRUPT, f"the image's header is damaged: {exc}") from exc


def _load(image: Image.Image, at_least: Size | None) -> Image.Image:
    """Decode the pixels, at reduced scale if `at_least` allows it and the format can."""
    scale = 1
    if at_least is not None and isinstance(image, JpegImageFile):
        stored_at_least = at_least[::-1] if _orientation(image) >= 5 else at_least
        scale = _scale((image.height, image.width), stored_at_least)
    if scale == 1:
        image.load()
        return image
    height, width = round(image.height / scale), round(image.width / scale)
    image.draft(None, (image.width // scale, image.height // scale))
    image.load()
    # A side that the scale does not divide ends in a sliver that is mostly the encoder's padding.
    return image.crop((0, 0, width, height))


def _scale(size: Size, at_least: Size) -> int:
    """Return by how much a JPEG may be reduced: 8, 4, 2 or 1 (not at all)."""
    for scale in (8, 4, 2):
        reduced = [side / scale for side in size]
        slivers = [abs(side - round(side)) / side for side in reduced]
        if all(
            side >= least and sliver * least <= _MAX_SLIVER
            for side, sliver, least in zip(reduced, slivers, at_least, strict=True)
        ):
            return scale
    return 1


def _orientation(image: Image.Image) -> int:
    """Return 1 to 8; from 5 on the picture is stored on its side."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block turns nothing, see `_upright`
        return 1


def _upright(image: Image.Image) -> Image.Image:
    if _orientation(image) == 1:
        return image  # exif_transpose would copy it
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block, which every viewer passes over; the pixels are whole
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits by its full range; 32-bit float in [0, 1] or [0, 255] likewise."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    if image.mode == "F":
        scale = 255.0 if values.max(initial=0.0) <= 1.0 else 1.0
    else:
        scale = 255.0 / 65535.0
    grey = np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
