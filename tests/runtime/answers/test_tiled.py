"""A picture seen in tiles has the regions that it has: none twice, none cut at a seam, none beyond what is asked."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runtime.answers.segmentation import Segmentation
from runtime.answers.tiled import merge_tiles, read_tiles, to_tiled_segmentation
from runtime.formats.stored import StoredPicture
from runtime.model import image
from runtime.model.contract import Outputs, ResizeRule, SegmentationContract
from runtime.model.errors import ViewError
from runtime.model.preprocess import WHOLE, read_placed, read_views
from runtime.model.tiles import PixelBox, TileParams, tile_boxes
from tests.runtime.answers.drawn_regions import (
    MODEL,
    Mask,
    check_consistent,
    encoded,
    ideal_outputs,
    outputs_of,
    pixels_of,
    segmenter,
)

RULES: tuple[ResizeRule, ...] = ("stretch", "letterbox", "crop")


def batch(rows: list[Outputs]) -> Outputs:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def answer_in_tiles(
    data: bytes, contract: SegmentationContract, tiles: TileParams | None, roi: PixelBox | None = None
) -> tuple[Segmentation, int]:
    """Return what is answered of a picture by a network that sees exactly what is white, and the number of tiles."""
    read = read_tiles(data, contract, tiles, roi)
    outputs = batch([ideal_outputs(pixels) for pixels, _ in read])
    answer = to_tiled_segmentation(outputs, [place for _, place in read], contract, MODEL, roi)
    assert answer is not None
    check_consistent(answer)
    return answer, len(read)


def disc(width: int, height: int, x: float, y: float, radius: float) -> Mask:
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    return np.asarray(np.hypot(columns - x, rows - y) <= radius)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@given(
    size=st.tuples(st.integers(60, 300), st.integers(60, 300)),
    centre=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    radius_cells=st.floats(3, 30),
    size_px=st.sampled_from([40, 50, 64, 128]),
    overlap=st.sampled_from([0.0, 0.1, 0.3]),
    orientation=st.sampled_from([1, 6]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_a_disc_anywhere_on_the_borders_of_tiles_comes_back_once_and_whole(
    rule: ResizeRule,
    kind: str,
    size: tuple[int, int],
    centre: tuple[float, float],
    radius_cells: float,
    size_px: int,
    overlap: float,
    orientation: int,
) -> None:
    contract, tiles = segmenter(resize=rule), TileParams(size_px=size_px, overlap_px=int(overlap * size_px))
    unit = max(1, size_px / 32)  # a cell of the network, or a pixel
    x, y = centre[0] * size[0], centre[1] * size[1]
    mark = disc(*size, x, y, radius_cells * unit)
    rows, columns = np.nonzero(mark)
    assume(len(rows) > 0 and np.ptp(rows) > 3 * unit and np.ptp(columns) > 3 * unit)
    answer, num_tiles = answer_in_tiles(encoded(mark, kind, orientation), contract, tiles)
    assert num_tiles > 1 or max(size) <= size_px * 1.4
    [region] = answer.regions
    found_rows, found_columns = np.nonzero(pixels_of(region))
    assert abs(found_columns.mean() - columns.mean()) < 0.5 * unit
    assert abs(found_rows.mean() - rows.mean()) < 0.5 * unit
    # A quarter of a cell along its edge.
    assert abs(region.area_px - mark.sum()) < 0.25 * unit * 2 * np.pi * radius_cells * unit


@given(
    picture=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    network=st.tuples(st.integers(8, 64), st.integers(8, 64)),
    size_px=st.integers(60, 500),
    share=st.floats(0, 0.75),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_tiles_cover_what_is_looked_at_overlap_enough_and_stay_in_the_picture(
    picture: tuple[int, int],
    network: tuple[int, int],
    size_px: int,
    share: float,
    corners: tuple[float, float, float, float],
) -> None:
    width, height = picture
    lefts, tops = (
        sorted(int(share * width) for share in corners[:2]),
        sorted(int(share * height) for share in corners[2:]),
    )
    roi = (lefts[0], tops[0], max(lefts[1], lefts[0] + 1), max(tops[1], tops[0] + 1))
    assume(roi[2] <= width and roi[3] <= height)
    tiles = TileParams(size_px=size_px, overlap_px=int(share * size_px))
    try:
        boxes = tile_boxes(picture, network, tiles, roi)
    except ViewError:  # too many
        return
    shapes = {(right - left, bottom - top) for left, top, right, bottom in boxes}
    [(across, down)] = shapes
    assert 1 <= max(across, down) <= size_px + 1
    assert all(min(left, top) >= 0 and right <= width and bottom <= height for left, top, right, bottom in boxes)
    seen = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes:
        seen[top:bottom, left:right] = True
    assert seen[roi[1] : roi[3], roi[0] : roi[2]].all()
    for starts, side in ((sorted({box[0] for box in boxes}), across), (sorted({box[1] for box in boxes}), down)):
        assert all(b - a <= side * (1 - tiles.overlap) + 1 for a, b in pairwise(starts))


def test_tiles_of_a_large_picture_lie_evenly() -> None:
    assert tile_boxes((400, 100), (224, 224), None) == [(0, 0, 400, 100)]
    assert tile_boxes((400, 100), (224, 224), None, (5, 6, 70, 80)) == [(5, 6, 70, 80)]
    boxes = tile_boxes((400, 150), (224, 224), TileParams(size_px=100, overlap_px=20))
    assert [box[0] for box in boxes] == [0, 75, 150, 225, 300] * 2
    assert sorted({box[1] for box in boxes}) == [0, 50]
    # A region of interest smaller than a tile: the tile sees what is around it.
    assert tile_boxes((400, 150), (224, 224), TileParams(size_px=100), (380, 60, 390, 70)) == [(300, 15, 400, 115)]


def test_what_cannot_be_looked_at_says_what_to_change() -> None:
    with pytest.raises(ViewError, match=r"\(5, 5, 401, 9\) reaches beyond the picture of 400 x 100 pixels"):
        tile_boxes((400, 100), (224, 224), None, (5, 5, 401, 9))
    with pytest.raises(ViewError, match="tiles of 16 x 16 pixels would cut 400 x 400 pixels into 625, more than 167"):
        tile_boxes((400, 400), (224, 224), TileParams(size_px=16, overlap_px=0))
    mark = encoded(disc(400, 300, 9, 9, 4), "JPEG")
    with pytest.raises(ViewError, match="reaches beyond the picture of 400 x 300"):
        read_tiles(mark, segmenter(), None, (0, 0, 300, 400))
    with pytest.raises(ViewError, match="into 25, more than 24: use larger tiles") as refused:
        tile_boxes((400, 400), (224, 224), TileParams(size_px=80, overlap_px=0), max_tiles=24)
    assert refused.value.code == "too_many_tiles"
    with pytest.raises(ValueError, match="tiles of 100 pixels can overlap by 75 at most, got 76"):
        TileParams(size_px=100, overlap_px=76)
    for roi in ((5, 5, 5, 9), (-1, 0, 4, 4), (0, 9, 4, 3)):
        with pytest.raises(ValueError, match="0 <= left < right"):
            segmenter(roi=roi)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("tiles", [None, TileParams(size_px=64), TileParams(size_px=300)])
def test_nothing_outside_the_region_of_interest_is_a_region(rule: ResizeRule, tiles: TileParams | None) -> None:
    data, roi = encoded(np.ones((300, 400), bool), "PNG"), (110, 90, 230, 180)
    answer, _ = answer_in_tiles(data, segmenter(resize=rule), tiles, roi)
    [region] = answer.regions
    assert (region.box.left, region.box.top, region.box.right, region.box.bottom) == roi
    assert region.area_px == (230 - 110) * (180 - 90)
    assert (answer.width, answer.height) == (400, 300)


def test_tiles_that_are_not_quite_of_the_inputs_shape_leave_no_cell_out() -> None:
    """Of tiles of 17 x 13 pixels `crop` cuts an eighth of a pixel, in which several cells of this input lie."""
    mark = np.ones((60, 60), bool)
    answer, _ = answer_in_tiles(encoded(mark, "PNG"), segmenter(168, 224, "crop"), TileParams(size_px=17, overlap_px=0))
    assert [region.area_share for region in answer.regions] == [1]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_parts_are_chosen_by_the_size_of_the_upright_picture(kind: str, orientation: int) -> None:
    sizes = list[tuple[int, int]]()

    def views_of(size: tuple[int, int]) -> list[tuple[float, float, float, float]]:
        sizes.append(size)
        return [WHOLE]

    read_views(encoded(disc(400, 300, 150, 150, 50), kind, orientation), segmenter(), views_of)
    assert set(sizes) == {(300, 400)}


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_is_decoded_once_for_all_its_tiles(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, contract, calls = encoded(disc(400, 300, 150, 150, 50), kind), segmenter(), list[object]()
    tiles = TileParams(size_px=100)
    views = [
        (left / 400, top / 300, right / 400, bottom / 300)
        for left, top, right, bottom in tile_boxes((400, 300), (32, 24), tiles)
    ]
    alone = [read_placed(data, contract, view=view) for view in views]
    reader = image._READERS[kind]

    def counted(*arguments: Any) -> StoredPicture:
        calls.append(arguments)
        return reader(*arguments)

    monkeypatch.setitem(image._READERS, kind, counted)
    told = list[int]()
    read = read_tiles(data, contract, tiles, on_tiles=told.append)
    assert len(read) == len(alone) > 10
    assert len(calls) == 1
    assert told == [len(read)]
    for (pixels, place), (expected_pixels, expected_place) in zip(read, alone, strict=True):
        np.testing.assert_array_equal(pixels, expected_pixels)
        assert place == expected_place


def test_the_label_is_that_of_the_tile_with_the_strongest_defect() -> None:
    contract = segmenter()  # free, the second class, is no region
    read = read_tiles(encoded(np.zeros((48, 96), bool), "PNG"), contract, TileParams(size_px=32, overlap_px=0))
    outputs = batch([ideal_outputs(pixels) for pixels, _ in read])
    outputs["probabilities"] = np.tile(np.array([[0.02, 0.96, 0.02]], np.float32), (len(read), 1))
    outputs["probabilities"][4] = [0.1, 0.2, 0.7]
    places = [place for _, place in read]
    answer = to_tiled_segmentation(outputs, places, contract, MODEL)
    assert answer is not None
    assert answer.label == "hole"
    assert answer.probability == pytest.approx(0.7)
    # Of a contract whose classes name no regions, it is the tile that marks most surely.
    outputs["foreground"][2, 0, 0] = 0.3
    joined, _ = merge_tiles(outputs, places, segmenter(regions=("other",)), (0, 0, 96, 48))
    np.testing.assert_array_equal(joined["probabilities"], outputs["probabilities"][2:3])
    outputs["foreground"][3, 0, 0] = np.nan
    assert to_tiled_segmentation(outputs, places, contract, MODEL) is None


def test_where_tiles_disagree_on_a_kind_the_more_central_one_is_believed() -> None:
    contract = segmenter(24, 24)
    read = read_tiles(encoded(np.zeros((24, 36), bool), "PNG"), contract, TileParams(size_px=24, overlap_px=12))
    assert len(read) == 2
    ones = np.ones((24, 24), np.float32)
    outputs = batch([outputs_of(ones, np.full((24, 24), value, np.uint8)) for value in (1, 2)])
    answer = to_tiled_segmentation(outputs, [place for _, place in read], contract, MODEL)
    assert answer is not None
    boxes = [(region.label, region.box.left, region.box.right) for region in answer.regions]
    assert boxes == [("crack", 0, 18), ("hole", 18, 36)]
