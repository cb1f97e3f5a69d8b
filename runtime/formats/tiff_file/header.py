"""What a TIFF says of its first picture, checked against the table of what is read right and against its own bytes."""

import numpy as np
from numpy.typing import NDArray

from runtime.formats.tiff_file.directory import SUB_DIRECTORIES, Directory, read_directories
from runtime.formats.tiff_file.errors import corrupt, refusal
from runtime.formats.tiff_file.structure import Structure, check_combinations
from runtime.formats.tiff_file.table import (
    COLOURS,
    DEFLATE,
    FLOAT,
    LZW,
    RAW,
    UNSIGNED,
    YCBCR,
    ZSTD,
    check_codec,
    check_samples,
    read_photometric,
    read_same,
)
from runtime.model.errors import ImageError, ImageErrorCode

# Camera raw: what only such files have.
_DNG_VERSION = 50706
_SENSOR_PHOTOMETRICS = (32803, 34892)  # colour filter array, linear raw
_SENSOR_COMPRESSIONS = (32767, 32769, 32770, 34713, 65000, 65535)  # Sony, Epson, Samsung, Nikon, Kodak, Pentax
_MAX_SAMPLES = 256
# Bytes of samples, once unpacked, for each pixel of the limit: RGBA of 16 bits. More is accepted of smaller pictures.
_BYTES_PER_PIXEL = 8
_PADDING_BYTES = 2**24  # by which tiles may be larger than a small picture


def read_structure(data: bytes, max_pixels: int) -> Structure:
    """Return the structure of a file's first picture; a preview of a larger one in the same file is none.

    Raises ImageError if it is damaged, too large, or a structure that is not known to be read right.
    """
    if data[8:11] == b"CR\2":  # Canon's, however damaged its directories are
        raise _camera_raw()
    directories = read_directories(data)
    if any(_is_sensor_data(directory) for directory in directories):
        raise _camera_raw()
    full = [directory for directory in directories if not _is_preview(directory)]
    if not full and (SUB_DIRECTORIES in directories[0] or directories[0].next):
        raise corrupt("it holds a preview, and the picture that it is of cannot be read")
    return _structure(data, (full or directories)[0], max_pixels)


def _camera_raw() -> ImageError:
    return ImageError(ImageErrorCode.UNSUPPORTED, "camera raw is not accepted; export the picture as TIFF, PNG or JPEG")


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
    check_combinations(structure)
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
