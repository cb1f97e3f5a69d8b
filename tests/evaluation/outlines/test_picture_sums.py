"""Sums of one picture, counted by hand."""

import numpy as np
import pytest

from evaluation.outlines.picture_sums import NUM_BINS, PictureSums, measure_picture, tolerance_of
from tests.evaluation.outlines.drawn import drawn


def measure(truth: np.ndarray, answer: np.ndarray, num_regions: int = 2, tolerance_px: float = 0.0) -> PictureSums:
    foreground = np.where(answer > 0, 0.9, 0.1).astype(np.float32)
    return measure_picture(truth, answer, foreground, num_regions, tolerance_px)


def test_pixels_are_counted_by_region_and_for_any() -> None:
    sums = measure(drawn("11..", "2..?"), drawn("12..", "22.1"))
    # overlapping, answered, true: the last pixel, which nobody knows, counts for nothing
    assert sums.pixels.tolist() == [[3, 4, 3], [1, 1, 2], [1, 3, 1]]
    assert sums.num_known_px == 7


def test_outlines_are_of_inner_pixels_and_the_border_is_none() -> None:
    square = drawn(".......", ".11111.", ".11111.", ".11111.", ".11111.", ".11111.", ".......")
    assert measure(square, square).edges[1].tolist() == [16, 16, 16, 16]
    half = drawn("111....", "111....", "111....")
    assert measure(half, half).edges[1].tolist() == [3, 3, 3, 3]
    full = drawn("111", "111")
    assert measure(full, full).edges[1].tolist() == [0, 0, 0, 0]


def test_what_nobody_knows_makes_no_outline() -> None:
    truth = drawn("11??", "11??", "11??")
    assert measure(truth, drawn("11..", "11..", "11..")).edges[1].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("tolerance_px", "near"), [(0.9, 0), (1.0, 3), (2.4, 3)])
def test_outlines_within_the_tolerance_are_near(tolerance_px: float, near: int) -> None:
    truth, answer = drawn("11.....", "11.....", "11....."), drawn("111....", "111....", "111....")
    assert measure(truth, answer, tolerance_px=tolerance_px).edges[1].tolist() == [near, 3, near, 3]


def test_an_outline_without_another_is_near_none() -> None:
    assert measure(drawn("..1.."), drawn(".....")).edges[1].tolist() == [0, 0, 0, 1]
    assert measure(drawn("....."), drawn("..1..")).edges[1].tolist() == [0, 1, 0, 0]


def test_the_tolerance_is_three_quarters_of_a_hundredth_of_the_diagonal() -> None:
    assert tolerance_of(300, 400) == pytest.approx(3.75)


def test_reliability_counts_every_pixel_that_counts() -> None:
    truth = drawn("1.1?")
    foreground = np.array([[1.0, 0.0, 17 / 255, 0.5]], np.float32)  # 17 / 255 is the first edge: the bin below
    bins = measure_picture(truth, drawn("1..1"), foreground, 1, 1.0).bins
    assert bins.shape == (3, NUM_BINS)
    assert bins[0].tolist() == [2, *[0] * 13, 1]
    assert bins[1][[0, -1]] == pytest.approx([17 / 255, 1.0])
    assert bins[2].tolist() == [1, *[0] * 13, 1]
