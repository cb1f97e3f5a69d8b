"""One picture of a TIFF: how its samples lie, and which combinations of that are read."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.formats.tiff_file.directory import Directory
from runtime.formats.tiff_file.errors import corrupt, refusal
from runtime.formats.tiff_file.table import (
    ASSOCIATED,
    BLACK_IS_ZERO,
    CMYK,
    COLOURS,
    JPEG,
    PALETTE,
    UNASSOCIATED,
    WEBP,
    WHITE_IS_ZERO,
    YCBCR,
)


@dataclass(frozen=True, slots=True)
class Structure:
    """One picture of a TIFF, checked: everything that reading its pixels needs.

    A chunk is a strip or a tile; `offsets` and `counts` are those of all chunks, plane by plane. `bits` are those that
    the file states of a sample. `subsampling` is how many pixels share one chroma, (across, down).
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


def check_combinations(structure: Structure) -> None:
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
