"""Which parts of a picture a network looks at, where a picture is much larger than what is to be found in it."""

import math
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from runtime.model.errors import ViewError, ViewErrorCode

PixelBox = tuple[int, int, int, int]  # left, top, right and bottom in pixels, the last two outside
MAX_TILES = 256  # of one picture
MAX_OVERLAP = 0.75  # as a share of a tile's side
MAX_CELLS = 2**23  # of one picture's tiles together, in the network's input: bounds the memory for joining their maps


def _check_roi(roi: PixelBox) -> PixelBox:
    left, top, right, bottom = roi
    if not (0 <= left < right and 0 <= top < bottom):
        raise ValueError(f"roi is left, top, right and bottom in pixels, with 0 <= left < right and top, got {roi}")
    return roi


Roi = Annotated[PixelBox, AfterValidator(_check_roi)]


class TileParams(BaseModel):
    """How a picture is cut, in its pixels.

    size_px: the longer side of a tile. overlap_px: how much of that side the next tile sees too, at least, and of the
    shorter side the same share; a fifth if it is not stated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_px: Annotated[int, Field(ge=16, le=65536)]
    overlap_px: Annotated[int, Field(ge=0)] | None = None

    @property
    def overlap(self) -> float:
        """The least share of a side that the next tile sees too."""
        return 0.2 if self.overlap_px is None else self.overlap_px / self.size_px

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.overlap > MAX_OVERLAP:
            most = int(self.size_px * MAX_OVERLAP)
            raise ValueError(f"tiles of {self.size_px} pixels can overlap by {most} at most, got {self.overlap_px}")
        return self


def looked_at(picture: tuple[int, int], roi: PixelBox | None) -> PixelBox:
    """Return the part of a picture of (width, height) that answers are about. Raises ViewError if `roi` leaves it."""
    width, height = picture
    if roi is None:
        return 0, 0, width, height
    if roi[2] > width or roi[3] > height:
        message = f"the region of interest {roi} reaches beyond the picture of {width} x {height} pixels"
        raise ViewError(ViewErrorCode.ROI_OUTSIDE, message)
    return roi


def tile_boxes(
    picture: tuple[int, int],
    network: tuple[int, int],
    tiles: TileParams | None,
    roi: PixelBox | None = None,
    max_tiles: int = MAX_TILES,
) -> list[PixelBox]:
    """Return the parts of a picture to look at, row by row; one that is not to be cut is one part.

    picture, network: (width, height) of the upright picture and of the network's input. Tiles have the input's shape,
    so that no resize rule distorts, pads or cuts them, are all of one size, cover what is looked at and leave the
    picture nowhere: where a region of interest is smaller than a tile the tile sees what is around it, and where the
    picture is, the tile shrinks with its shape kept. Raises ViewError if `roi` leaves the picture, or for more than
    `max_tiles`, `MAX_TILES` or `MAX_CELLS` give.
    """
    area = looked_at(picture, roi)
    if tiles is None:
        return [area]
    shrink = min(tiles.size_px / max(network), picture[0] / network[0], picture[1] / network[1])
    across, down = (min(side, max(1, round(shrink * of))) for side, of in zip(picture, network, strict=True))
    counts = _count(area[2] - area[0], across, tiles.overlap), _count(area[3] - area[1], down, tiles.overlap)
    most = min(MAX_TILES, max_tiles, MAX_CELLS // (network[0] * network[1]))
    if counts[0] * counts[1] > most:
        raise ViewError(
            ViewErrorCode.TOO_MANY_TILES,
            f"tiles of {across} x {down} pixels would cut {area[2] - area[0]} x {area[3] - area[1]} pixels into "
            f"{counts[0] * counts[1]}, more than {most}: use larger tiles, less overlap or a region of interest",
        )
    lefts = _starts(area[0], area[2], across, picture[0], counts[0])
    tops = _starts(area[1], area[3], down, picture[1], counts[1])
    return [(left, top, left + across, top + down) for top in tops for left in lefts]


def _count(length: int, tile: int, overlap: float) -> int:
    return max(1, math.ceil((length - tile) / (tile * (1 - overlap)) - 1e-9) + 1)


def _starts(low: int, high: int, tile: int, side: int, count: int) -> list[int]:
    if count == 1:  # in the middle of what is looked at
        return [min(max((low + high - tile) // 2, 0), side - tile)]
    return [low + round(number * (high - low - tile) / (count - 1)) for number in range(count)]
