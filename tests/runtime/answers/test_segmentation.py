"""What is marked in a map is outlined in the picture where it lies, whatever the picture's way to the network."""

import json
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.answers.results import ANSWERS
from runtime.answers.segmentation import MAX_REGIONS, to_segmentations
from runtime.model.contract import ContractError, ResizeRule
from runtime.model.preprocess import WHOLE, Placement, placement, read_placed
from tests.runtime.answers.drawn_regions import (
    MODEL,
    Mask,
    answer_of,
    encoded,
    ideal_outputs,
    outputs_of,
    pixels_of,
    segmenter,
)

RULES: tuple[ResizeRule, ...] = ("stretch", "letterbox", "crop")


class Drawing(NamedTuple):
    """A picture's size, and a mark in it by shares of that part of it which the network sees."""

    size: tuple[int, int]  # width, height
    centre: tuple[float, float]
    half: tuple[float, float]
    is_disc: bool


shares = st.floats(0, 1)
drawings = st.builds(
    Drawing,
    st.tuples(st.integers(4, 700), st.integers(4, 700)),
    st.tuples(shares, shares),
    st.tuples(st.floats(0.05, 0.5), st.floats(0.05, 0.5)),
    st.booleans(),
)


def marked(drawing: Drawing, taken: tuple[float, float, float, float]) -> tuple[Mask, NDArray[np.float64]]:
    """Return the mark in a picture, and its half axes in pixels; a disc is round in the picture."""
    width, height = drawing.size
    sides = np.array([taken[2] - taken[0], taken[3] - taken[1]])
    centre = np.array(taken[:2]) + np.array(drawing.centre) * sides
    half = np.array(drawing.half) * sides
    if drawing.is_disc:
        half[:] = half.min()
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    away = np.stack([(columns - centre[0]) / half[0], (rows - centre[1]) / half[1]])
    return (away**2).sum(axis=0) <= 1 if drawing.is_disc else np.abs(away).max(axis=0) <= 1, half


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])  # most of these JPEGs are decoded at reduced scale
@given(drawing=drawings, orientation=st.integers(1, 8))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_mark_drawn_anywhere_is_found_where_it_was_drawn(
    rule: ResizeRule, kind: str, drawing: Drawing, orientation: int
) -> None:
    contract = segmenter(resize=rule, threshold=0.5)
    expected_place = placement(*drawing.size, contract)
    taken, filled = expected_place.taken, expected_place.filled
    # A network's cell in pixels of the picture.
    cell = np.array([(taken[2] - taken[0]) / (filled[2] - filled[0]), (taken[3] - taken[1]) / (filled[3] - filled[1])])
    mark, half = marked(drawing, taken)
    columns, rows = np.arange(drawing.size[0]) + 0.5, np.arange(drawing.size[1]) + 0.5
    seen = np.outer((rows >= taken[1]) & (rows < taken[3]), (columns >= taken[0]) & (columns < taken[2])) & mark
    at_rows, at_columns = np.nonzero(seen)
    assume(len(at_rows) > 0)
    box = np.array([at_columns.min(), at_rows.min(), at_columns.max() + 1, at_rows.max() + 1])
    # What is smaller than the network's cells may vanish, as it would for any network.
    assume((box[2:] - box[:2] >= 3 * np.maximum(1, cell)).all() and (half >= 2 * np.maximum(1, cell)).all())

    pixels, place = read_placed(encoded(mark, kind, orientation), contract)
    [region] = answer_of(ideal_outputs(pixels, value=2), place, contract).regions

    unit = np.maximum(1, cell)
    found = np.array([region.box.left, region.box.top, region.box.right, region.box.bottom])
    found_rows, found_columns = np.nonzero(pixels_of(region))
    np.testing.assert_array_less(abs(found_columns.mean() - at_columns.mean()), 0.5 * unit[0])
    np.testing.assert_array_less(abs(found_rows.mean() - at_rows.mean()), 0.5 * unit[1])
    # A disc's tips are thinner than a cell, and fade in it.
    np.testing.assert_array_less(abs(found - box), (1.5 if drawing.is_disc else 1.0) * np.tile(unit, 2) + 1e-6)
    assert (region.label, region.class_id) == ("hole", 1)
    assert 0.5 <= region.score <= 1


def at(width: int, height: int, map_size: tuple[int, int]) -> Placement:
    """A whole picture that fills a whole map of (height, width)."""
    return Placement((0, 0, width, height), (0, 0, map_size[1], map_size[0]), (width, height))


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    map_size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    smooth=st.integers(1, 6),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_map_gives_regions_that_are_whole_and_apart(
    seed: int, size: tuple[int, int], map_size: tuple[int, int], smooth: int
) -> None:
    """`answer_of` holds that boxes, areas and masks agree and that no pixel is of two regions."""
    rng = np.random.default_rng(seed)
    grain = np.ones((smooth, smooth))
    shape = tuple(-(-side // smooth) for side in map_size)
    noise, values = rng.random(shape, np.float32), rng.integers(1, 3, shape, np.uint8)
    foreground = np.kron(noise, grain)[: map_size[0], : map_size[1]].astype(np.float32)
    region_map = np.kron(values, grain)[: map_size[0], : map_size[1]].astype(np.uint8)
    answer = answer_of(outputs_of(foreground, region_map), at(*size, map_size), segmenter(threshold=0.4))
    assert len(answer.regions) == min(answer.num_regions, MAX_REGIONS)
    assert (answer.num_regions > 0) == (foreground >= 0.4).any()


@given(st.lists(st.integers(1, 2), min_size=1, max_size=12), st.lists(st.integers(1, 2), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_where_regions_touch_each_ends_where_the_other_begins(across: list[int], down: list[int]) -> None:
    """No pixel between them is left out: chequers and stripes of two regions fill the picture."""
    region_map = np.array([[(x + y) % 2 + 1 for x in across] for y in down], np.uint8)
    foreground = np.random.default_rng(0).uniform(0.6, 1, region_map.shape).astype(np.float32)
    width, height = 7 * len(across), 11 * len(down)
    answer = answer_of(outputs_of(foreground, region_map), at(width, height, region_map.shape), segmenter())
    # Where four regions meet, bilinear interpolation may leave the very corner to none.
    assert sum(region.area_px for region in answer.regions) >= 0.9 * width * height
    if len(set(down)) == 1 or len(set(across)) == 1:
        assert sum(region.area_px for region in answer.regions) == width * height


@pytest.mark.parametrize(("width", "height"), [(64, 48), (32, 24), (8, 6), (1, 1), (1, 500), (500, 1)])
def test_a_cell_alone_is_where_its_centre_is_and_has_at_least_a_pixel(width: int, height: int) -> None:
    foreground = np.full((24, 32), 0.1, np.float32)
    foreground[9, 20] = 0.9
    answer = answer_of(outputs_of(foreground, np.ones((24, 32), np.uint8)), at(width, height, (24, 32)), segmenter())
    [region] = answer.regions
    x, y = 20.5 * width / 32, 9.5 * height / 24
    assert region.box.left <= x <= region.box.right
    assert region.box.top <= y <= region.box.bottom
    assert (width * height > 32 * 24) or region.area_px == 1
    assert region.score == pytest.approx(0.9)


def test_as_large_as_its_map_a_picture_has_the_map_itself() -> None:
    rng = np.random.default_rng(5)
    foreground, region_map = rng.random((24, 32), np.float32), rng.integers(1, 3, (24, 32), np.uint8)
    answer = answer_of(outputs_of(foreground, region_map), at(32, 24, (24, 32)), segmenter(threshold=0.3))
    painted = np.zeros((24, 32), np.uint8)
    for region in answer.regions:
        painted[pixels_of(region)] = region.class_id + 1
    np.testing.assert_array_equal(painted, np.where(foreground >= np.float32(0.3), region_map, 0))


def test_small_parts_are_dropped_and_the_largest_comes_first() -> None:
    region_map, foreground = np.ones((24, 32), np.uint8), np.zeros((24, 32), np.float32)
    foreground[2, 2:4] = 1  # 2 pixels of the network's input
    foreground[6, 2:5] = 0.75
    foreground[10:14, 10:20] = 1
    outputs = outputs_of(foreground, region_map)
    answer = answer_of(outputs, at(320, 240, (24, 32)), segmenter(min_region_px=3))
    assert [region.score for region in answer.regions] == [1, 0.75]
    assert (answer.num_regions, answer.width, answer.height) == (2, 320, 240)
    assert answer_of(outputs, at(320, 240, (24, 32)), segmenter(min_region_px=2)).num_regions == 3


@pytest.mark.parametrize("rule", ["letterbox", "crop"])
def test_what_is_no_part_of_the_picture_or_not_seen_of_it_holds_no_region(rule: ResizeRule) -> None:
    contract = segmenter(resize=rule)
    place = placement(400, 100, contract, WHOLE)
    outputs = outputs_of(np.ones((24, 32), np.float32), np.ones((24, 32), np.uint8))
    [region] = answer_of(outputs, place, contract).regions
    box = (region.box.left, region.box.top, region.box.right, region.box.bottom)
    # 100 x 4 / 3 of the picture's width are seen: 133.3 to 266.7, of which pixels' centres from 133.5 to 266.5.
    assert box == ((0, 0, 400, 100) if rule == "letterbox" else (133, 0, 267, 100))
    assert region.area_px == (box[2] - box[0]) * 100
    # Marks in the bars alone are none.
    if rule == "letterbox":
        foreground = np.ones((24, 32), np.float32)
        foreground[place.filled[1] : place.filled[3]] = 0
        assert answer_of(outputs_of(foreground, np.ones((24, 32), np.uint8)), place, contract).regions == []


def test_part_of_a_picture_is_outlined_in_the_whole_picture() -> None:
    contract, mark = segmenter(), np.zeros((300, 400), bool)
    mark[120:180, 220:300] = True
    pixels, place = read_placed(encoded(mark, "PNG"), contract, view=(0.5, 0.25, 1, 0.75))
    [region] = answer_of(ideal_outputs(pixels), place, contract).regions
    assert (region.box.left, region.box.top, region.box.right, region.box.bottom) == (220, 120, 300, 180)


@pytest.mark.parametrize("name", ["probabilities", "logits", "foreground"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_no_answer_and_its_neighbours_are(name: str, value: float) -> None:
    one = outputs_of(np.zeros((24, 32), np.float32), np.ones((24, 32), np.uint8))
    outputs = {key: np.concatenate([output] * 3) for key, output in one.items()}
    outputs[name][1].flat[1] = value
    answers = ANSWERS["segmentation"](outputs, [at(40, 30, (24, 32))] * 3, segmenter(), MODEL)
    assert [answer is None for answer in answers] == [False, True, False]


@pytest.mark.parametrize("value", [0, 3])
def test_a_map_of_regions_that_the_contract_does_not_know_is_an_error(value: int) -> None:
    region_map = np.full((24, 32), value, np.uint8)
    with pytest.raises(ContractError, match="'region_map' must hold 1 to 2"):
        to_segmentations(
            outputs_of(np.ones((24, 32), np.float32), region_map), [at(9, 9, (24, 32))], segmenter(), MODEL
        )


def test_more_regions_than_are_listed_are_counted() -> None:
    foreground = np.zeros((80, 80), np.float32)
    foreground[::2, ::2] = 1  # 1600 cells on their own
    foreground[0, 0:4] = 1
    region_map = np.ones((80, 80), np.uint8)
    answer = answer_of(outputs_of(foreground, region_map), at(80, 80, (80, 80)), segmenter(80, 80))
    assert (len(answer.regions), answer.num_regions) == (MAX_REGIONS, 1598)
    assert answer.regions[0].area_px == 5


def test_ten_objects_on_twelve_megapixels_are_far_below_a_megabyte() -> None:
    rows, columns = np.mgrid[0:224, 0:224] + 0.5
    foreground = np.zeros((224, 224), np.float32)
    for x, y in [(20 + 43 * i, 50 + 90 * j) for i in range(5) for j in range(2)]:
        away = np.hypot(columns - x, (rows - y) / 2)
        foreground = np.maximum(foreground, (0.5 + (18 - away) / 8).clip(0, 1)).astype(np.float32)
    answer = answer_of(outputs_of(foreground, np.ones((224, 224), np.uint8)), at(4000, 3000, (224, 224)), segmenter())
    assert len(answer.regions) == 10
    assert all(region.area_share > 0.03 for region in answer.regions)
    text = answer.model_dump_json()
    assert len(text) < 50_000
    assert json.loads(text)["regions"][0]["mask"]["size"] == [3000, 4000]
