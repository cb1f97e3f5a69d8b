"""A TIFF to pixels of 8 bits: every structure of the table in `tiff_table.py` is read right, all others are refused.

Pillow alone reads several of them wrongly without a word (12 bits, 16-bit planes, white as zero of deep samples, bands
without a meaning). Here the tags are read by our own code, libtiff only unpacks bytes, and NumPy does the rest.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runtime.formats.depth import CONTRACT, LARGEST_16_BIT, scale_range, scale_unsigned
from runtime.formats.stored import ReadOptions, StoredPicture
from runtime.formats.tiff_file.errors import corrupt, refusal
from runtime.formats.tiff_file.header import read_structure
from runtime.formats.tiff_file.samples import read_bands, read_directly
from runtime.formats.tiff_file.structure import Structure
from runtime.formats.tiff_file.table import (
    BLACK_IS_ZERO,
    CMYK,
    FLOAT,
    JPEG,
    PALETTE,
    RGB,
    UNSIGNED,
    WHITE_IS_ZERO,
    YCBCR,
)
from runtime.model.errors import ImageError, ImageErrorCode

Eight = NDArray[np.uint8]
_MIN_VALUE, _MAX_VALUE, _SMALLEST, _LARGEST = 280, 281, 340, 341
_ORIENTATION, _COLOUR_MAP, _ICC = 274, 320, 34675


class _Stated(NamedTuple):
    """The range that a file states for its colours; `is_common` where it is the same for all of them."""

    low: float
    high: float
    is_common: bool

    @property
    def is_depth(self) -> bool:
        """Whether the largest value is that of a whole number of bits, and so can be no picture's own by chance."""
        whole = int(self.high) if np.isfinite(self.high) else 0
        return self.is_common and whole == self.high and whole > 0 and not whole & (whole + 1)


def read_tiff(data: bytes, options: ReadOptions) -> StoredPicture:
    """Read the first picture of a TIFF or BigTIFF, with the ICC profile of its colours, which is not applied.

    Samples whose range the file does not state are scaled by `options.max_value`, or by what they can hold.
    Raises ImageError.
    """
    structure = read_structure(data, options.max_pixels)
    image = read_directly(data, structure)
    if image is None:
        image = _image(_pixels(data, structure, options.max_value), structure)
    profile = structure.directory.metadata(_ICC)
    return StoredPicture(image, (structure.height, structure.width), _orientation(structure), profile)


def _pixels(data: bytes, structure: Structure, max_value: int | None) -> Eight:
    """Return all pixels, `(height, width, n)`, band of rows by band of rows, so that little is held beside them."""
    planes = [*range(structure.num_colours), *([] if structure.alpha is None else [structure.alpha])]
    to_eight = _converter(structure, max_value)
    may_be_unit = structure.sample_format == FLOAT and max_value is not None and _stated(structure) is None
    brightest = 0.0
    pixels = np.empty(0, np.uint8)
    for first, samples in read_bands(data, structure, planes):
        band = to_eight(samples)
        brightest = max(brightest, float(samples.max())) if may_be_unit else 0.0
        if len(band) == structure.height:
            pixels = band
            break
        if not first:
            pixels = np.empty((structure.height, *band.shape[1:]), np.uint8)
        pixels[first : first + len(band)] = band
    if 0 < brightest <= 1:
        raise ImageError(
            ImageErrorCode.UNSUPPORTED,
            f"the TIFF has floating-point samples up to 1, for a model whose samples go up to {max_value} "
            "(contract.max_value); save them in that range, or state theirs (SMaxSampleValue)",
        )
    return pixels


def read_unstated_tiff(data: bytes, max_pixels: int) -> NDArray[Any] | None:
    """Return the colour samples of a picture of 16 bits that does not state their range; None for any other.

    Returns `(height, width, n)` uint16. Raises ImageError.
    """
    structure = read_structure(data, max_pixels)
    if not _is_unstated(structure):
        return None
    bands = read_bands(data, structure, list(range(structure.num_colours)))
    return np.concatenate([samples for _, samples in bands])


def _is_unstated(structure: Structure) -> bool:
    """Whether only the container says how large a sample may be: 16 bits, as many as cameras of 10 or 12 fill."""
    is_deep = (structure.sample_format, structure.bits) == (UNSIGNED, 16)
    stated = _stated(structure)
    return is_deep and structure.photometric <= RGB and (stated is None or stated.high == LARGEST_16_BIT)


def _converter(structure: Structure, max_value: int | None) -> Callable[[NDArray[Any]], Eight]:
    """Return what brings samples, `(rows, width, n)`, to 8 bits, black as 0, palettes looked up."""
    if structure.photometric == PALETTE:
        return _palette_converter(structure)
    scale = _scaler(structure, max_value)
    num_colours, is_negative = structure.num_colours, structure.photometric == WHITE_IS_ZERO

    def convert(samples: NDArray[Any]) -> Eight:
        colours: Eight = scale(samples[..., :num_colours])
        if is_negative:
            colours = 255 - colours
        if samples.shape[2] == num_colours:
            return colours
        alpha = _alpha(samples[..., num_colours:], structure)
        if structure.is_premultiplied:  # over white, exactly; `RGBa` would lose what is nearly transparent
            over_white: Eight = np.minimum(colours.astype(np.uint16) + (255 - alpha), 255).astype(np.uint8)
            return over_white
        return np.concatenate([colours, alpha], axis=2)

    return convert


def _scaler(structure: Structure, max_value: int | None) -> Callable[[NDArray[Any]], Eight]:
    """Return what brings samples to 0 to 255 by the range that the file states, the contract or the container."""
    bits = structure.bits
    if structure.sample_format == UNSIGNED and bits <= 16:
        if bits == 8:
            return lambda samples: samples
        largest, source = _largest(structure, max_value)
        return lambda samples: scale_unsigned(samples, largest, source)
    low, high, source = _range(structure, max_value)
    return lambda samples: scale_range(samples, low, high, source)


def _largest(structure: Structure, max_value: int | None) -> tuple[int, str]:
    """Return white of unsigned samples of up to 16 bits, and who states it."""
    if structure.bits < 16 or structure.photometric == CMYK:
        return 2**structure.bits - 1, f"the file's {structure.bits} bits"
    stated = _stated(structure)
    if stated is not None and stated.is_depth and stated.high < LARGEST_16_BIT:
        return int(stated.high), "the file (MaxSampleValue)"
    if stated is None or stated.high == LARGEST_16_BIT:
        return (LARGEST_16_BIT, "the file's 16 bits") if max_value is None else (max_value, CONTRACT)
    if max_value is not None and stated.high <= max_value:
        return max_value, CONTRACT
    # TIFF 6.0 lets it be the picture's own brightest sample, which would scale each picture by another range.
    problem = "is no number of bits and may be this picture's own brightest"
    if max_value is not None:
        problem = f"lies above {max_value}, the range by {CONTRACT}"
    raise ImageError(
        ImageErrorCode.UNSUPPORTED,
        f"the TIFF states {stated.high:g} as the largest value of its 16 bits, which {problem}; state the camera's "
        "range (contract.max_value in params.yaml, before training), or scale the samples from their true range to "
        "0 to 65535 and save them without MaxSampleValue",
    )


def _range(structure: Structure, max_value: int | None) -> tuple[float, float, str]:
    """Return black and white of samples that no container bounds, and who states them."""
    stated = _stated(structure)
    if stated is not None and (stated.is_common or max_value is None):
        low, high, is_common = stated
        if not is_common:
            raise refusal("bands that state different ranges")
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise corrupt(f"it states a range of {low:g} to {high:g}")
        return low, high, "the file (SMinSampleValue and SMaxSampleValue)"
    if max_value is not None:
        return 0, max_value, CONTRACT
    if structure.sample_format == FLOAT:
        return 0, 1, "convention for floating-point samples, since neither file nor contract states one"
    kind = "unsigned" if structure.sample_format == UNSIGNED else "signed"
    raise ImageError(
        ImageErrorCode.UNSUPPORTED,
        f"neither the TIFF (SMaxSampleValue) nor the model (contract.max_value) states the range of its "
        f"{structure.bits}-bit {kind} samples; state one of them, or save the picture with 8 or 16 bits that fill "
        "their range",
    )


def _stated(structure: Structure) -> _Stated | None:
    """Return the range that the file states for its colours, None if it states none."""
    tags = structure.directory
    for low_tag, high_tag in ((_SMALLEST, _LARGEST), (_MIN_VALUE, _MAX_VALUE)):
        highs, lows = tags.values(high_tag), tags.values(low_tag)
        if highs is not None:
            low = {0.0} if lows is None else {float(value) for value in lows[: structure.num_colours]}
            high = {float(value) for value in highs[: structure.num_colours]}
            return _Stated(min(low), max(high), len(low) == len(high) == 1)
    return None


def _alpha(samples: NDArray[Any], structure: Structure) -> Eight:
    """Return alpha at 8 bits: opaque is the largest value that the samples can have, or 1 of floats."""
    if structure.sample_format == FLOAT:
        return scale_range(samples, 0, 1, "convention for alpha")
    if structure.sample_format != UNSIGNED or structure.bits > 16:
        raise refusal("transparency with signed or 32-bit samples")
    if structure.bits == 8:
        return samples
    largest = 2**structure.bits - 1
    stated = _stated(structure)
    if structure.bits == 16 and stated is not None and stated.is_depth:
        largest = int(stated.high)
    return scale_unsigned(samples, largest, "the alpha band's bits")


def _palette_converter(structure: Structure) -> Callable[[NDArray[Any]], Eight]:
    values = structure.directory.values(_COLOUR_MAP)
    size = 2**structure.bits
    if values is None or values.dtype.kind not in "iu" or len(values) < 3 * size:
        raise corrupt("its palette is missing or too short")
    colours = values[: 3 * size].reshape(3, size).T
    # Meant to fill 16 bits; libtiff too takes a map without larger values for one of 8.
    table = (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)

    def convert(samples: NDArray[Any]) -> Eight:
        looked_up: Eight = table[samples[..., 0]]
        if samples.shape[2] == 1:
            return looked_up
        return np.concatenate([looked_up, _alpha(samples[..., 1:], structure)], axis=2)

    return convert


def _image(pixels: Eight, structure: Structure) -> Image.Image:
    """Return a Pillow image of pixels, `(height, width, n)`."""
    has_alpha = structure.alpha is not None and not structure.is_premultiplied
    if structure.photometric <= BLACK_IS_ZERO:
        return Image.fromarray(pixels if has_alpha else pixels[..., 0])
    if structure.photometric == CMYK:
        image = Image.frombuffer(
            "CMYK", pixels.shape[1::-1], np.ascontiguousarray(pixels[..., :4]), "raw", "CMYK", 0, 1
        )
        if has_alpha:
            image = image.convert("RGB")
            image.putalpha(Image.fromarray(pixels[..., 4]))
        return image
    if structure.photometric == YCBCR and structure.compression != JPEG:
        return Image.fromarray(pixels, "YCbCr").convert("RGB")
    return Image.fromarray(pixels)


def _orientation(structure: Structure) -> int:
    """Return 1 to 8; a damaged tag turns nothing."""
    raw = structure.directory.metadata(_ORIENTATION)
    value = int.from_bytes(raw, "little" if structure.order == "<" else "big")
    return value if 1 <= value <= 8 else 1
