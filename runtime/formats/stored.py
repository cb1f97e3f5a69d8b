"""What a reader of one format is asked for, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from runtime.model.errors import ImageError, ImageErrorCode

Size = tuple[int, int]  # height, width
# What neither side of an upright picture is reduced below: stated, or made of the picture's own size.
AtLeast = Size | Callable[[Size], Size]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How one picture is to be read; `runtime.model.image.open_image` says what each means.

    max_pixels: most that are decoded. max_reduced_pixels: most that a file may have whose pixels are decoded at reduced
    scale, so that few are held in memory though all are read.
    """

    max_pixels: int
    max_reduced_pixels: int
    at_least: AtLeast | None = None
    max_value: int | None = None


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """Pixels as a file stores them, of 8 bits a sample, with what is needed to show them.

    image: of mode 1, L, LA, P, RGB, RGBA or CMYK; a JPEG's may be reduced. size: (height, width) as stored.
    orientation: 1 to 8, see `runtime.formats.orientation`. profile: the ICC profile of its colours, b"" for sRGB.
    """

    image: Image.Image
    size: Size
    orientation: int = 1
    profile: bytes = b""


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise ImageError if a picture is too large, or has no pixels at all; asked before any is decoded."""
    if width < 1 or height < 1:
        raise ImageError(ImageErrorCode.CORRUPT, f"the image's header is damaged: {width} x {height} pixels")
    if width * height > max_pixels:
        raise ImageError(
            ImageErrorCode.TOO_MANY_PIXELS,
            f"the image has {width} x {height} pixels; at most {max_pixels} pixels are accepted",
        )


def part(image: Image.Image, left: int, top: int, right: int, bottom: int) -> Image.Image:
    """Cut out a rectangle. Pillow's `crop` would apply its own bound on pixels, and warn or raise."""
    return image.resize((right - left, bottom - top), Image.Resampling.NEAREST, (left, top, right, bottom))


def damaged(what: str) -> ImageError:
    """Return the error of a file whose structure or data are broken or end too early."""
    return ImageError(ImageErrorCode.CORRUPT, f"the image is truncated or corrupt: {what}")


def not_accepted(what: str, to: str = "PNG") -> ImageError:
    """Return the error of a file that may be valid, but of a kind that is not read; `what` names it, `to` what is."""
    return ImageError(
        ImageErrorCode.UNSUPPORTED, f"not an image in a supported format: {what} is not accepted; convert it to {to}"
    )
