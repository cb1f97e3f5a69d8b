"""What a TIFF says of its first picture, checked against the table of what is read right and against its own bytes."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ImageError, ImageErrorCode
from runtime.formats.tiff_directory import Directory, read_directories
from runtime.formats.tiff_errors import corrupt, refusal
from runtime.formats.tiff_table import (
    ASSOCIATED,
    BLACK_IS_ZERO,
    CMYK,
    COLOURS,
    DEFLATE,
    FLOAT,
    JPEG,
    LZW,
    PALETTE,
    RAW,
    UNASSOCIATED,
    UNSIGNED,
    WEBP,
    WHITE_IS_ZERO,
    YCBCR,
    ZSTD,
    check_codec,
    check_samples,
    read_photometric,
    read_same,
)

# Camera raw: what only such files have.
_DNG_VERSION = 50706
_SENSOR_PHOTOMETRICS = (32803, 34892)  # colour filter array, linear raw
_SENSOR_COMPRESSIONS = (32767, 32769, 32770, 34713, 65000, 65535)  # Sony, Epson, Samsung, Nikon, Kodak, Pentax
_MAX_SAMPLES = 256
# Bytes of samples, once unpacked, for each pixel of the limit: RGBA of 16 bits. More is accepted of smaller pictures.
_BYTES_PER_PIXEL = 8
_PADDING_BYTES = 2**24  # by which tiles may be larger than a small picture


@dataclass(frozen=True, slots=True)
class Structure:
    """One picture of a TIFF, checked: everything that reading its pixels needs.

    A chunk is a strip or a tile; `offsets` and `counts` are those of all chunks, plane by plane. `bits` are those of a
    sample; `stored_bits` differ where samples of fewer bits lie in 16 each. `subsampling` is (across, down).
    """

    directory: Directory
    width: int
    height: int
    photometric: int
    sample_format: int
    bits: int
    samples: int
    extra: tuple[int, ...]
    compression: int
    predictor: int
    is_planar: bool
    is_tiled: bool
    chunk_width: int
    chunk_height: int
    subsampling: tuple[int, int]
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64] | None

    @property
    def order(self) -> str:
        return self.directory.order

    @property
    def num_colours(self) -> int:
        return COLOURS[self.photometric][0]

    @property
    def alpha(self) -> int | None:
        """Return which sample is alpha, if one is."""
        kinds = (self.num_colours + i for i, kind in enumerate(self.extra) if kind in (ASSOCIATED, *UNASSOCIATED))
        return next(kinds, None)

    @property
    def is_premultiplied(self) -> bool:
        return self.alpha is not None and self.extra[self.alpha - self.num_colours] == ASSOCIATED

    @property
    def chunk_samples(self) -> int:
        """Return how many samples of a pixel lie together."""
        return 1 if self.is_planar else self.samples

    @property
    def chunks_across(self) -> int:
        return math.ceil(self.width / self.chunk_width)

    @property
    def chunks_down(self) -> int:
        return math.ceil(self.height / self.chunk_height)

    @property
    def is_subsampled(self) -> bool:
        """Whether chroma is stored once for several pixels, outside of JPEG."""
        return self.photometric == YCBCR and self.compression != JPEG and self.subsampling != (1, 1)

    def row_bytes(self, bits: int) -> int:
        """Return the bytes of one stored row of a chunk, whose samples take `bits` each."""
        if self.is_subsampled:
            across, down = self.subsampling
            return math.ceil(self.chunk_width / across) * (across * down + 2)
        return math.ceil(self.chunk_width * self.chunk_samples * bits / 8)

    def stored_rows(self, rows: int) -> int:
        """Return how many stored rows hold `rows` rows of pixels."""
        return math.ceil(rows / self.subsampling[1]) if self.is_subsampled else rows


def read_structure(data: bytes, max_pixels: int) -> Structure:
    """Return the structure of a file's first picture; a preview of a larger one in the same file is none.

    Raises ImageError if it is damaged, too large, or a structure that is not known to be read right.
    """
    directories = read_directories(data)
    if data[8:10] == b"CR" or any(_is_sensor_data(directory) for directory in directories):
        raise ImageError(
            ImageErrorCode.UNSUPPORTED, "camera raw is not accepted; export the picture as TIFF, PNG or JPEG"
        )
    full = [directory for directory in directories if not _is_preview(directory)]
    return _structure(data, (full or directories)[0], max_pixels)


def _is_sensor_data(directory: Directory) -> bool:
    if _DNG_VERSION in directory:
        return True
    try:
        photometric, compression = directory.number(262, 1), directory.number(259, RAW)
    except ImageError:  # it is no picture then, and matters only if it is the one to be read
        return False
    return photometric in _SENSOR_PHOTOMETRICS or compression in _SENSOR_COMPRESSIONS


def _is_preview(directory: Directory) -> bool:
    """Whether the directory is of a picture at reduced size, or of a mask."""
    return bool(directory.number(254, 0) & 0b101) or directory.number(255, 1) == 2


def _structure(data: bytes, tags: Directory, max_pixels: int) -> Structure:
    width, height = _size(tags, max_pixels)
    samples = tags.number(277, 1)
    if not 0 < samples <= _MAX_SAMPLES:
        raise refusal(f"{samples} bands")
    compression = tags.number(259, RAW)
    photometric = read_photometric(tags, samples)
    bits = read_same(tags, 258, 1, samples, "bits")
    sample_format = read_same(tags, 339, UNSIGNED, samples, "sample formats")
    sample_format = UNSIGNED if sample_format == 4 else sample_format  # 4 is "undefined", which is read as unsigned
    check_samples(photometric, sample_format, bits, samples)
    check_codec(photometric, compression, bits, samples)
    is_tiled = 322 in tags and 324 in tags
    offsets = _places(tags, 324 if is_tiled else 273)
    structure = Structure(
        directory=tags,
        width=width,
        height=height,
        photometric=photometric,
        sample_format=sample_format,
        bits=bits,
        samples=samples,
        extra=_extra(tags, samples - COLOURS[photometric][0]),
        compression=compression,
        predictor=_predictor(tags, compression, sample_format, bits),
        is_planar=tags.number(284, 1) == 2 and samples > 1,
        is_tiled=is_tiled,
        chunk_width=tags.number(322, 0) if is_tiled else width,
        chunk_height=tags.number(323, 0) if is_tiled else _strip_rows(tags, height),
        subsampling=_subsampling(tags) if photometric == YCBCR else (1, 1),
        offsets=np.empty(0, np.int64) if offsets is None else offsets,
        counts=_places(tags, 325 if is_tiled else 279),
    )
    _check_bytes(structure, max_pixels)
    _check_chunks(data, structure)
    _check_combinations(structure)
    return structure


def _size(tags: Directory, max_pixels: int) -> tuple[int, int]:
    width, height = tags.number(256, 0), tags.number(257, 0)
    if width <= 0 or height <= 0:
        raise corrupt("it states no width or height")
    if width * height > max_pixels:
        raise ImageError(
            ImageErrorCode.TOO_MANY_PIXELS,
            f"the image has {width} x {height} pixels; at most {max_pixels} pixels are accepted",
        )
    return width, height


def _check_bytes(structure: Structure, max_pixels: int) -> None:
    """Raise ImageError if the samples take too much memory, with what tiles are larger than the picture."""
    if structure.chunk_width <= 0 or structure.chunk_height <= 0:
        raise corrupt("its strips or tiles have no size")
    pixels = structure.chunks_across * structure.chunk_width * structure.chunks_down * structure.chunk_height
    if pixels * structure.samples * structure.bits > 8 * (_BYTES_PER_PIXEL * max_pixels + _PADDING_BYTES):
        raise ImageError(
            ImageErrorCode.TOO_MANY_PIXELS,
            f"the image has {structure.width} x {structure.height} pixels of {structure.samples * structure.bits} "
            f"bits; at most {max_pixels} pixels of {8 * _BYTES_PER_PIXEL} bits are accepted",
        )


def _strip_rows(tags: Directory, height: int) -> int:
    rows = tags.number(278, height)
    return min(rows, height) if rows > 0 else height


def _places(tags: Directory, tag: int) -> NDArray[np.int64] | None:
    values = tags.values(tag)
    if values is None:
        return None
    if values.dtype.kind != "u":
        raise corrupt(f"the tag {tag} is damaged")
    places: NDArray[np.int64] = np.minimum(values.astype(np.uint64), 2**62).astype(np.int64)
    return places


def _subsampling(tags: Directory) -> tuple[int, int]:
    """Return how many pixels share one chroma, (across, down)."""
    values = tags.values(530)
    across, down = (2, 2) if values is None or len(values) < 2 else (int(values[0]), int(values[1]))
    if across not in (1, 2, 4) or down not in (1, 2, 4):
        raise refusal(f"YCbCr samples at {across} x {down}")
    return across, down


def _extra(tags: Directory, count: int) -> tuple[int, ...]:
    """Return what the samples beyond the colours are; 0, unspecified, where the file does not say."""
    values = tags.values(338)
    stated = [] if values is None else [int(value) for value in values[:count]]
    return (*stated, *[0] * (count - len(stated)))


def _predictor(tags: Directory, compression: int, sample_format: int, bits: int) -> int:
    predictor = tags.number(317, 1)
    if predictor == 1 or compression not in (LZW, *DEFLATE, ZSTD):  # elsewhere the tag has no meaning
        return 1
    is_known = (predictor == 2 and bits in (8, 16, 32, 64)) or (predictor == 3 and sample_format == FLOAT)
    if not is_known:
        raise refusal(f"{bits}-bit samples with the predictor {predictor}")
    return predictor


def _check_chunks(data: bytes, structure: Structure) -> None:
    """Raise ImageError unless every strip or tile has a place, and all together take no more than the file."""
    planes = structure.samples if structure.is_planar else 1
    needed = structure.chunks_across * structure.chunks_down * planes
    counts = structure.counts
    if len(structure.offsets) < needed or (counts is not None and len(counts) < needed):
        raise corrupt(f"it lacks some of {needed} strips")
    if counts is None and structure.compression != RAW and needed > 1:
        raise corrupt("it does not state how long its strips are")
    offsets = structure.offsets[:needed]
    if int(offsets.min()) < 8 or int(offsets.max()) >= len(data):
        raise corrupt("a strip lies outside of the file")
    # A few bytes of file that are unpacked over and over would cost time without bound.
    if (
        counts is not None
        and structure.compression != RAW
        and (counts[:needed].max() > len(data) or counts[:needed].sum() > len(data) + 2**16)
    ):
        raise corrupt("its strips are longer than the file")


def _check_combinations(structure: Structure) -> None:
    """Raise ImageError for what is valid by each tag alone, and not known to be read right together."""
    photometric, extra = structure.photometric, structure.extra
    if photometric <= BLACK_IS_ZERO and len(extra) > 1 and structure.alpha is None:
        raise refusal(f"grey with {len(extra) + 1} bands")
    if structure.is_premultiplied and photometric in (WHITE_IS_ZERO, PALETTE, CMYK):
        raise refusal("colours multiplied by alpha that are no RGB or grey")
    if structure.is_planar and structure.compression == WEBP:
        raise refusal("WebP compression in planes")
    if photometric == YCBCR and structure.compression == JPEG and (structure.is_planar or extra):
        raise refusal("YCbCr in planes or of more than 3 bands")
    if photometric == YCBCR and structure.compression != JPEG:
        _check_ycbcr(structure)


def _check_ycbcr(structure: Structure) -> None:
    if extra_bands := len(structure.extra):
        raise refusal(f"YCbCr with {extra_bands + 3} bands")
    if structure.is_subsampled and (structure.is_planar or structure.predictor != 1):
        raise refusal("YCbCr with less chroma than luma, in planes or with a predictor")
    if structure.is_subsampled and structure.chunks_down > 1 and structure.chunk_height % structure.subsampling[1]:
        raise corrupt("its strips cut pixels that share their chroma")
    # JPEG's conversion, which is the default; video's (16 to 235, or BT.709) would need others.
    coefficients, range_ = structure.directory.fractions(529), structure.directory.fractions(532)
    if coefficients and any(abs(a - b) > 0.002 for a, b in zip(coefficients, (0.299, 0.587, 0.114), strict=False)):
        raise refusal("YCbCr with coefficients other than those of JPEG")
    if range_ and any(abs(a - b) > 0.5 for a, b in zip(range_, (0, 255, 128, 255, 128, 255), strict=False)):
        raise refusal("YCbCr with a reference of black and white other than that of JPEG")
