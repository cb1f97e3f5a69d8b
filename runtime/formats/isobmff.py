"""AVIF and HEIC: still pictures in ISO media files, by decoders that may be there or not.

AVIF comes with Pillow. HEIC needs the package pillow-heif, which is never installed by this project: its wheels hold a
codec under the GPL.
"""

import importlib
import io
from importlib.util import find_spec

from PIL import Image, features
from PIL.AvifImagePlugin import AvifImageFile

from runtime.formats.colour_statement import coded_profile
from runtime.formats.orientation import orientation_of
from runtime.formats.primary_colours import primary_colours
from runtime.formats.stored import ReadOptions, StoredPicture, check_pixels
from runtime.model.errors import ImageError, ImageErrorCode

HEIC_PACKAGE = "pillow_heif"


def read_avif(data: bytes, options: ReadOptions) -> StoredPicture:
    """Read an AVIF; of a sequence the first picture. Raises ImageError."""
    if not features.check("avif"):
        raise ImageError(
            ImageErrorCode.UNSUPPORTED,
            "not an image in a supported format: AVIF is not accepted here, since this Pillow was built without it; "
            "convert it to JPEG or PNG",
        )
    profile = _stated_profile(data, "AVIF")
    image = AvifImageFile(io.BytesIO(data))
    check_pixels(*image.size, options.max_pixels)
    exif, embedded = image.info.get("exif", b""), image.info.get("icc_profile", b"")
    image.load()
    return StoredPicture(image, image.size[::-1], orientation_of(exif), embedded or profile)


def read_heic(data: bytes, options: ReadOptions) -> StoredPicture:
    """Read a HEIC by pillow-heif, where that is installed; of several pictures the primary one. Raises ImageError."""
    if find_spec(HEIC_PACKAGE) is None:
        raise ImageError(
            ImageErrorCode.UNSUPPORTED,
            "not an image in a supported format: HEIC is not accepted here; convert it to JPEG or PNG, or install "
            "pillow-heif where the service and the training run",
        )
    profile = _stated_profile(data, "HEIC")
    file = importlib.import_module(HEIC_PACKAGE).open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
    width, height = file.size
    check_pixels(width, height, options.max_pixels)
    image: Image.Image = file.to_pillow()  # which is upright
    return StoredPicture(image, (height, width), profile=file.info.get("icc_profile") or profile)


def _stated_profile(data: bytes, name: str) -> bytes:
    """Return the profile of the code points of the primary picture. Raises ImageError for high dynamic range."""
    colours = primary_colours(data)
    return b"" if colours is None else coded_profile(*colours, name)
