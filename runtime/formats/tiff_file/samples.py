"""The samples of a TIFF's picture, band of rows by band of rows, as numbers of the type that they have."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runtime.formats.tiff_file.codecs import Samples, decode_chunk, unpack_bilevel, unpack_picture, unpack_streams
from runtime.formats.tiff_file.errors import corrupt
from runtime.formats.tiff_file.structure import Structure
from runtime.formats.tiff_file.table import (
    BLACK_IS_ZERO,
    CCITT,
    CMYK,
    FLOAT,
    JPEG,
    RAW,
    RGB,
    SIGNED,
    STREAMS,
    UNSIGNED,
    WEBP,
)
from runtime.model.errors import ImageError

_BAND_BYTES = 2**24  # unpacked at a time, unless one strip has more
_REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)).reshape(256, 8)[:, ::-1], axis=1).ravel()


def read_bands(data: bytes, structure: Structure, planes: list[int]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (first row, samples) from top to bottom; samples: `(rows, width, len(planes))` of the file's type.

    planes: which of a pixel's samples. Raises ImageError if a strip or tile is damaged or too short.
    """
    reader = _Reader(data, structure)
    bits = reader.stored_bits()
    bytes_each = structure.stored_rows(structure.chunk_height) * structure.row_bytes(bits) * structure.chunks_across
    chunk_rows = 1 if structure.is_tiled else max(1, _BAND_BYTES // bytes_each)
    if structure.compression == RAW and bits == 8 and not structure.is_tiled:
        chunk_rows = structure.chunks_down  # nothing is unpacked, so there is nothing to keep small
    for first in range(0, structure.chunks_down, chunk_rows):
        last = min(first + chunk_rows, structure.chunks_down)
        if structure.is_planar:
            separate = [reader.rows(first, last, plane, bits) for plane in planes]
            samples = np.concatenate(separate, axis=2)
        else:
            together = reader.rows(first, last, 0, bits)
            samples = together if planes == list(range(together.shape[2])) else together[:, :, planes]
        yield first * structure.chunk_height, samples


def read_directly(data: bytes, structure: Structure) -> Image.Image | None:
    """Return the picture as libtiff unpacks it, of mode L, RGB or CMYK, where that is all there is to do; else None.

    Raises ImageError if a strip is damaged or too short.
    """
    is_plain = (
        (structure.bits, structure.sample_format) == (8, UNSIGNED)
        and structure.compression in STREAMS
        and structure.photometric in (BLACK_IS_ZERO, RGB, CMYK)
        and structure.samples == structure.num_colours
        and not (structure.is_planar or structure.is_tiled)
    )
    if not is_plain:
        return None
    reader = _Reader(data, structure)
    return unpack_picture([reader.chunk(index) for index in range(structure.chunks_down)], structure)


class _Reader:
    """Unpacks rows of chunks of one picture."""

    def __init__(self, data: bytes, structure: Structure) -> None:
        self._data, self._structure = data, structure
        self._is_reversed = structure.directory.number(266, 1) == 2

    def stored_bits(self) -> int:
        """Return how many bits a sample takes: 16 also where a camera states 10, 12 or 14 of them and packs nothing.

        Only the length of a strip tells.
        """
        bits = self._structure.bits
        if not 8 < bits < 16:
            return bits
        rows = self._rows_of(0)
        if self._structure.compression == RAW:
            counts = self._structure.counts
            is_wide = counts is not None and int(counts[0]) >= rows * self._structure.row_bytes(16)
            return 16 if is_wide else bits
        try:
            self._bytes([0], rows, 16)
        except ImageError:
            return bits
        return 16

    def rows(self, first: int, last: int, plane: int, bits: int) -> NDArray[Any]:
        """Return the samples of rows of chunks `first` to `last` of a plane, `(rows, width, samples together)`."""
        structure = self._structure
        start = plane * structure.chunks_down * structure.chunks_across
        across = structure.chunks_across
        chunks = list(range(start + first * across, start + last * across))
        rows = min(structure.height, last * structure.chunk_height) - first * structure.chunk_height
        if not structure.is_tiled:
            return self._samples(chunks, rows, bits)
        stacked = self._samples(chunks, len(chunks) * structure.chunk_height, bits)
        tiles = stacked.reshape(across, structure.chunk_height, structure.chunk_width, -1)
        side_by_side = tiles.transpose(1, 0, 2, 3).reshape(structure.chunk_height, -1, tiles.shape[3])
        return side_by_side[:rows, : structure.width]

    def _rows_of(self, chunk: int) -> int:
        """Return how many rows of pixels a chunk has."""
        structure = self._structure
        if structure.is_tiled:
            return structure.chunk_height
        down = chunk // structure.chunks_across % structure.chunks_down
        return min(structure.chunk_height, structure.height - down * structure.chunk_height)

    def _samples(self, chunks: list[int], rows: int, bits: int) -> NDArray[Any]:
        """Return the samples of chunks one below the other."""
        structure = self._structure
        if structure.compression in (JPEG, WEBP):
            decoded = [decode_chunk(self.chunk(chunk), self._rows_of(chunk), structure) for chunk in chunks]
            return np.concatenate(decoded)
        if structure.compression in CCITT:
            streams = [self.chunk(chunk) for chunk in chunks]
            return unpack_bilevel(streams, rows, structure.chunk_height, structure)[:, :, None]
        stored = self._bytes(chunks, rows, bits)
        if structure.is_subsampled:
            return _upsampled(stored, rows, structure)
        return _typed(stored, structure, bits)

    def _bytes(self, chunks: list[int], rows: int, bits: int) -> Samples:
        """Return the unpacked bytes of chunks one below the other, `(stored rows, bytes of a row)`."""
        structure = self._structure
        row_bytes = structure.row_bytes(bits)
        if structure.compression == RAW:
            stored = np.frombuffer(self._raw(chunks, row_bytes), np.uint8)
            stored = _REVERSED[stored] if self._is_reversed else stored
            return stored.reshape(-1, row_bytes)
        shape = (structure.stored_rows(rows), row_bytes)
        rows_each = structure.stored_rows(structure.chunk_height)
        streams = [self.chunk(chunk) for chunk in chunks]
        samples = structure.chunk_samples if _is_undone_by_libtiff(structure) else 0
        return unpack_streams(streams, shape, rows_each, structure, samples)

    def chunk(self, chunk: int) -> bytes:
        """Return the stored bytes of a compressed chunk."""
        offset = int(self._structure.offsets[chunk])
        counts = self._structure.counts
        end = len(self._data) if counts is None else offset + int(counts[chunk])
        if end == offset:
            raise corrupt(f"the strip or tile {chunk} is empty")
        return self._data[offset:end]

    def _raw(self, chunks: list[int], row_bytes: int) -> memoryview | bytes:
        """Return the bytes of chunks that are not compressed; without a copy where they lie in a row."""
        structure = self._structure
        rows = np.array([structure.stored_rows(self._rows_of(chunk)) for chunk in chunks], np.int64)
        offsets, needed = structure.offsets[chunks], rows * row_bytes
        if structure.counts is not None:
            stated = structure.counts[chunks]
            self._check_room(chunks, (stated > 0) & (stated < needed))  # some write 0
        self._check_room(chunks, offsets + needed > len(self._data))
        view = memoryview(self._data)
        ends = offsets + needed
        if (offsets[1:] == ends[:-1]).all():
            return view[offsets[0] : ends[-1]]
        return b"".join(view[start:end] for start, end in zip(offsets.tolist(), ends.tolist(), strict=True))

    def _check_room(self, chunks: list[int], is_short: NDArray[np.bool_]) -> None:
        if is_short.any():
            raise corrupt(f"the strip or tile {chunks[int(is_short.argmax())]} has too few bytes")


def _is_undone_by_libtiff(structure: Structure) -> bool:
    """Whether libtiff undoes the predictor, which is faster than NumPy: it can where Pillow knows such pixels."""
    return structure.predictor == 2 and structure.bits == 8 and structure.chunk_samples in (1, 3, 4)


def _typed(stored: Samples, structure: Structure, bits: int) -> NDArray[Any]:
    """Return stored rows as samples, `(rows, chunk width, samples together)`, with the predictor undone."""
    shape = (len(stored), structure.chunk_width, structure.chunk_samples)
    if structure.predictor == 3:
        return _floats(stored, shape, bits // 8)
    if bits < 8 or 8 < bits < 16:
        return _unpacked(stored, shape[1] * shape[2], bits).reshape(shape)
    kind = {SIGNED: "i", FLOAT: "f"}.get(structure.sample_format, "u") + str(bits // 8)
    if structure.predictor == 1 or _is_undone_by_libtiff(structure):
        return stored.view(structure.order + kind).reshape(shape)
    whole = stored.view(f"{structure.order}u{bits // 8}").reshape(shape)
    summed: NDArray[Any] = np.cumsum(whole, axis=1, dtype=f"u{bits // 8}")
    return summed.view(kind)


def _floats(stored: Samples, shape: tuple[int, int, int], width: int) -> NDArray[Any]:
    """Undo the floating-point predictor (Adobe's Technical Note 3): differences of bytes, high bytes of a row first."""
    rows, across, samples = shape
    summed = np.cumsum(stored.reshape(rows, across * width, samples), axis=1, dtype=np.uint8)
    planes = summed.reshape(rows, width, across * samples)
    return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{width}").reshape(shape)


def _unpacked(stored: Samples, count: int, bits: int) -> NDArray[np.uint16]:
    """Return `count` samples of each row, which are packed without gaps, the highest bit first."""
    groups = -(-count // 8)  # eight samples fill as many bytes as they have bits
    padded = np.zeros((len(stored), groups * bits + 2), np.uint8)
    padded[:, : stored.shape[1]] = stored
    samples = np.empty((len(stored), groups, 8), np.uint16)
    for i in range(8):
        byte, bit = divmod(i * bits, 8)
        first, second, third = (padded[:, byte + k : byte + k + groups * bits : bits] for k in range(3))
        word = first.astype(np.uint32) << 16 | second.astype(np.uint32) << 8 | third
        samples[..., i] = word >> (24 - bit - bits) & (2**bits - 1)
    return samples.reshape(len(stored), -1)[:, :count]


def _upsampled(stored: Samples, rows: int, structure: Structure) -> Samples:
    """Return YCbCr pixels of units that hold several lumas and one chroma each, `(rows, chunk width, 3)`."""
    across, down = structure.subsampling
    units = stored.reshape(len(stored), -1, across * down + 2)
    lumas = units[..., :-2].reshape(len(stored), -1, down, across).transpose(0, 2, 1, 3)
    luma = lumas.reshape(len(stored) * down, -1)
    chroma = np.repeat(np.repeat(units[..., -2:], down, axis=0), across, axis=1)
    return np.concatenate([luma[..., None], chroma], axis=2)[:rows, : structure.chunk_width]
