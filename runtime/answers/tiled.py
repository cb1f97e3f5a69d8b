"""One answer for a picture that the network saw in parts: tiles, a region of interest, or both."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from runtime.answers.classification import ModelIdentity
from runtime.answers.outlines import Margins
from runtime.answers.segmentation import Segmentation, to_segmentations
from runtime.model.contract import FOREGROUND, LOGITS, PROBABILITIES, REGION_MAP, Outputs, SegmentationContract
from runtime.model.image import ImageArray
from runtime.model.preprocess import Placement, View, read_views
from runtime.model.tiles import MAX_TILES, PixelBox, TileParams, looked_at, tile_boxes


def read_tiles(
    data: bytes,
    contract: SegmentationContract,
    tiles: TileParams | None,
    roi: PixelBox | None = None,
    max_pixels: int | None = None,
    max_tiles: int = MAX_TILES,
    on_tiles: Callable[[int], None] = lambda _num_tiles: None,
) -> list[tuple[ImageArray, Placement]]:
    """Decode one encoded image once and bring each of its tiles to the size the model takes, as `read_placed` does.

    tiles, roi: the request's, or the contract's. on_tiles: told once how many there are, of a JPEG before its
    pixels are decoded; its ViewError passes. Raises ImageError as `decode_image` does, ViewError as `tile_boxes`.
    """

    @cache  # asked before the pixels are decoded, and after
    def views_of(size: tuple[int, int]) -> list[View]:
        height, width = size
        boxes = tile_boxes((width, height), (contract.width, contract.height), tiles, roi, max_tiles)
        on_tiles(len(boxes))
        return [(left / width, top / height, right / width, bottom / height) for left, top, right, bottom in boxes]

    return read_views(data, contract, views_of, max_pixels)


def to_tiled_segmentation(
    outputs: Outputs,
    places: Sequence[Placement],
    contract: SegmentationContract,
    model: ModelIdentity,
    roi: PixelBox | None = None,
) -> Segmentation | None:
    """Return one answer for the tiles of one picture; None if a value of any tile is not finite.

    outputs: a row a tile, in the order of `places`, which `read_tiles` gave with the same `roi`. What lies outside of
    `roi` is no region.
    """
    if not all(np.isfinite(outputs[name]).all() for name in (PROBABILITIES, LOGITS, FOREGROUND)):
        return None
    area, taken = looked_at(places[0].picture, roi), places[0].taken
    if len(places) > 1 or taken[0] < area[0] or taken[1] < area[1] or taken[2] > area[2] or taken[3] > area[3]:
        outputs, place = merge_tiles(outputs, places, contract, area)
        places = [place]
    [answer] = to_segmentations(outputs, places, contract, model)
    return answer


def merge_tiles(
    outputs: Outputs, places: Sequence[Placement], contract: SegmentationContract, area: PixelBox
) -> tuple[Outputs, Placement]:
    """Join the maps of tiles to one map of `area`, of the tiles' own scale; return outputs of one row, and its place.

    places: of one picture, all of one size, whose tiles cover `area`. Where tiles overlap, `foreground` is their mean
    by weights that fall to nothing towards each tile's edge: there is no seam, and since regions are found in the
    joined map none is found twice. The kind of region is that of the tile with the largest share in the mean.

    The label is that of the tile in which a defect is most probable, counting the classes that are regions' names; a
    mean would let one small defect vanish among many tiles without any. The other side of it: the more tiles, the more
    often one of them is wrong, so that the probability of a picture without defects is stated too low. Where no class
    is a region's name, it is the tile with the largest foreground.
    """
    first = places[0]
    columns = _positions(area[0], area[2], (first.filled[2] - first.filled[0]) / (first.taken[2] - first.taken[0]))
    rows = _positions(area[1], area[3], (first.filled[3] - first.filled[1]) / (first.taken[3] - first.taken[1]))
    sums, weights = np.zeros((2, len(rows), len(columns)), np.float32)
    most, region_map = np.zeros_like(sums), np.ones(sums.shape, np.uint8)
    for values, foreground, place in zip(outputs[REGION_MAP], outputs[FOREGROUND], places, strict=True):
        left, top, right, bottom = place.filled
        y, at_y, weight_y = _inside(rows, place.taken[1], place.taken[3], bottom - top)
        x, at_x, weight_x = _inside(columns, place.taken[0], place.taken[2], right - left)
        weight = np.outer(weight_y, weight_x)
        share = weight * _bilinear(foreground[top:bottom, left:right].astype(np.float64), at_y, at_x)
        sums[y, x] += share
        weights[y, x] += weight
        nearest = values[top:bottom, left:right][np.rint(at_y).astype(int)][:, np.rint(at_x).astype(int)]
        region_map[y, x] = np.where(share > most[y, x], nearest, region_map[y, x])
        most[y, x] = np.maximum(most[y, x], share)
    best = _strongest(outputs, contract)
    joined = {name: outputs[name][best : best + 1] for name in (PROBABILITIES, LOGITS)}
    joined |= {REGION_MAP: region_map[None], FOREGROUND: (sums / weights)[None]}
    taken = (float(area[0]), float(area[1]), float(area[2]), float(area[3]))
    return joined, Placement(taken, (0, 0, len(columns), len(rows)), first.picture)


def _positions(low: int, high: int, cells_a_pixel: float) -> Margins:
    """Return where the joined map's cells have their centres, in pixels of the picture."""
    count = max(1, round((high - low) * cells_a_pixel))
    positions: Margins = low + (np.arange(count) + 0.5) * (high - low) / count
    return positions


def _inside(positions: Margins, low: float, high: float, cells: int) -> tuple[slice, Margins, Margins]:
    """Return which positions a tile from `low` to `high` holds, where they lie in its cells, and their weights."""
    # A pixel more: tiles are whole pixels and so not quite of the input's shape, of which `crop` cuts a hair.
    begin, end = (int(place) for place in np.searchsorted(positions, (low - 1, high + 1)))
    held = positions[begin:end]
    at = np.clip((held - low) * cells / (high - low) - 0.5, 0, cells - 1)
    return slice(begin, end), at, np.maximum(np.minimum(held - low, high - held), 1e-6)


def _bilinear(values: Margins, rows: Margins, columns: Margins) -> Margins:
    for at in (rows, columns):  # along the first axis, then with axes swapped along the other
        below = np.minimum(at.astype(int), max(0, len(values) - 2))
        share = (at - below)[:, None]
        above = np.minimum(below + 1, len(values) - 1)
        values = (values[below] * (1 - share) + values[above] * share).T
    return values


def _strongest(outputs: Outputs, contract: SegmentationContract) -> int:
    defects = [place for place, name in enumerate(contract.classes) if name in contract.regions]
    strength = outputs[PROBABILITIES][:, defects].sum(axis=1) if defects else outputs[FOREGROUND].max(axis=(1, 2))
    return int(strength.argmax())
