"""Figures of overlap computed by hand."""

import numpy as np
import pytest

from evaluation.outlines.overlap import boundary_f_of, dice_of, iou_of, means_over_regions, measure_overlap
from evaluation.params import EvaluateParams
from evaluation.statistics.bootstrap import Resampling

PARAMS = EvaluateParams(seed=0, confidence=0.95, bootstrap_samples=200)
# Overlapping, answered, true pixels of four pictures of three tiles; the third has none of the region.
PIXELS = np.array([[6, 8, 10], [0, 0, 4], [0, 5, 0], [10, 10, 10]])
EDGES = np.array([[3, 4, 4, 5], [0, 0, 0, 3], [0, 2, 0, 0], [6, 6, 6, 6]])
GROUPS = np.array(["a", "a", "b", "c"], dtype=object)


def test_figures_of_four_pictures() -> None:
    overlap = measure_overlap("Crack", PIXELS, EDGES, Resampling(GROUPS, PARAMS))
    assert (overlap.name, overlap.num_images, overlap.num_groups) == ("Crack", 3, 2)
    assert (overlap.there_px, overlap.found_px) == (24, 23)
    assert overlap.dice.value == pytest.approx(2 * 16 / (23 + 24))
    assert overlap.iou.value == pytest.approx(16 / (23 + 24 - 16))
    assert overlap.picture_dice.value == pytest.approx((12 / 18 + 0 + 1) / 3)
    assert overlap.picture_iou.value == pytest.approx((6 / 12 + 0 + 1) / 3)
    precision, recall = 9 / 12, 10 / 14
    assert overlap.boundary_f.value == pytest.approx(2 * precision * recall / (precision + recall))
    assert overlap.picture_boundary_f.value == pytest.approx((2 * (3 / 4) * (4 / 5) / (3 / 4 + 4 / 5) + 0 + 1) / 3)


def test_intervals_draw_tiles_and_skip_resamples_without_the_region() -> None:
    overlap = measure_overlap("Crack", PIXELS, EDGES, Resampling(GROUPS, PARAMS))
    # With three tiles a resample is one of ten; tile b alone has no such region, tile c alone is outlined perfectly.
    assert overlap.dice.low == pytest.approx(2 * 6 / (18 + 14), abs=0.1)
    assert overlap.dice.high == 1
    one = measure_overlap("Crack", PIXELS, EDGES, Resampling(np.array(["a", "a", "b", "b"], dtype=object), PARAMS))
    assert one.dice.low is not None
    alone = measure_overlap("Crack", PIXELS[:3], EDGES[:3], Resampling(GROUPS[:3], PARAMS))
    assert (alone.num_groups, alone.dice.low) == (1, None)


def test_a_region_that_no_picture_has_is_undefined() -> None:
    overlap = measure_overlap("Fray", PIXELS[2:3], EDGES[2:3], Resampling(GROUPS[2:3], PARAMS))
    assert overlap.found_px == 5
    assert [overlap.dice.value, overlap.iou.value, overlap.boundary_f.value, overlap.picture_dice.value] == [None] * 4


def test_means_run_over_the_regions_that_are_there() -> None:
    empty = np.zeros_like(PIXELS)
    means = means_over_regions(np.stack([PIXELS, 2 * PIXELS[::-1], empty], axis=1), Resampling(GROUPS, PARAMS))
    assert means.dice.value == pytest.approx(32 / 47)
    pixels = np.stack([PIXELS, np.tile([5, 5, 5], (4, 1)), empty], axis=1)
    assert means_over_regions(pixels, Resampling(GROUPS, PARAMS)).iou.value == pytest.approx((16 / 31 + 1) / 2)


def test_ratios_know_what_is_undefined() -> None:
    pixels = np.array([[0, 0, 0], [0, 3, 0], [0, 0, 3], [3, 3, 3]], dtype=float)
    np.testing.assert_array_equal(dice_of(pixels), [np.nan, np.nan, 0, 1])
    np.testing.assert_array_equal(iou_of(pixels), [np.nan, np.nan, 0, 1])
    edges = np.array([[0, 2, 0, 0], [0, 0, 0, 2], [0, 2, 0, 2], [2, 2, 2, 2]], dtype=float)
    np.testing.assert_array_equal(boundary_f_of(edges), [np.nan, 0, 0, 1])
