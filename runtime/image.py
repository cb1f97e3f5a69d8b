"""Bytes to pixels: the only place where an image is decoded, for training, evaluation and the service alike.

What comes out is what a person would see: EXIF orientation applied, palettes and CMYK expanded, transparency over
white, 16-bit scaled to 8, grey-scale repeated over three channels. The format is told by content, never by name.
"""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from runtime.errors import ImageError, ImageErrorCode

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
# Pillow's own threshold, 89 megapixels: above nearly any camera, 270 MB once decoded. Above it Pillow also warns, and
# silencing that would mean changing process-wide state from request threads.
MAX_PIXELS = 89_478_485

ImageArray = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> ImageArray:
    """Decode one encoded image to RGB.

    Returns `(height, width, 3)` uint8. Size limits are checked on the header, before pixels are decoded.
    Raises ImageError with a code if the bytes are empty, of an unsupported format, truncated, corrupt or too large.
    """
    if not data:
        raise ImageError(ImageErrorCode.EMPTY, "the file is empty")
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            ImageErrorCode.TOO_MANY_PIXELS,
            f"the image has {width} x {height} pixels; at most {max_pixels} pixels are accepted",
        )
    try:
        image.load()
        return np.asarray(_to_rgb(_upright(image)))
    except Exception as exc:  # Pillow's plugins raise OSError, SyntaxError, struct.error and more on damaged files
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


def _upright(image: Image.Image) -> Image.Image:
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
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits by its full range; 32-bit float in [0, 1] or [0, 255] likewise."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    if image.mode == "F":
        scale = 255.0 if values.max(initial=0.0) <= 1.0 else 1.0
    else:
        scale = 255.0 / 65535.0
    grey = np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
