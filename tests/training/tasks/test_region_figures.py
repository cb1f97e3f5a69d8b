"""Figures of outlines on validation pictures, and the settings that are chosen by them, against counts by hand."""

import numpy as np
import pytest
import torch

from dataset.annotations import IGNORED
from training.tasks.region_figures import SIZES_PX, RegionCounts, best_size, count_parts, count_pixels

GRID = (0.25, 0.5, 0.75)
# One picture of two rows: the map's regions, their foreground, and what is true.
REGIONS = torch.tensor([[[1, 1, 2, 2], [1, 2, 2, 1]]], dtype=torch.uint8)
FOREGROUND = torch.tensor([[[0.8, 0.5, 0.3, 0.9], [0.1, 0.6, 0.75, 0.9]]])
TRUE = torch.tensor([[[1, 1, 2, 0], [0, 1, 2, IGNORED]]], dtype=torch.uint8)


def _counts(grid: tuple[float, ...] = GRID) -> RegionCounts:
    return RegionCounts.of(count_pixels(REGIONS, FOREGROUND, TRUE, 2, grid), grid)


def test_pixels_are_counted_at_every_threshold_and_ignored_ones_are_not() -> None:
    counts = _counts()
    assert counts.found.tolist() == [[2, 2, 1], [4, 3, 2]]
    assert counts.overlap.tolist() == [[2, 2, 1], [2, 1, 1]]
    assert counts.there.tolist() == [3, 2]


def test_figures_are_those_of_the_pixels_at_a_threshold() -> None:
    figures = _counts().figures(0.5, ("a", "b c"))
    assert figures == pytest.approx(
        {
            "val_dice": 6 / 10, "val_iou": 3 / 7, "val_dice.a": 4 / 5, "val_iou.a": 2 / 3,
            "val_dice.b_c": 2 / 5, "val_iou.b_c": 1 / 4,
        }
    )  # fmt: skip
    assert set(_counts().figures(0.5, ("b(", "b)"))) >= {"val_dice.b__1", "val_dice.b__2"}


def test_the_threshold_is_the_one_of_the_highest_dice() -> None:
    counts = _counts()  # 8/11, 6/10, 4/8
    assert counts.best_threshold() == 0.25
    assert RegionCounts.of(np.zeros((3, 3, 2, 4)), GRID).best_threshold() == 0.5
    assert RegionCounts.of(np.zeros((3, 3, 2, 4)), GRID).figures(0.5, ("a", "b")) == {}
    assert RegionCounts.of(np.zeros((3, 3, 2, 2)), (0.3,)).best_threshold() == 0.3


def test_counts_of_pictures_apart_are_those_of_them_together() -> None:
    both = count_pixels(REGIONS.repeat(2, 1, 1), FOREGROUND.repeat(2, 1, 1), torch.cat([TRUE, TRUE.flip(2)]), 2, GRID)
    one = count_pixels(REGIONS, FOREGROUND, TRUE.flip(2), 2, GRID)
    assert torch.equal(both[1:], one)
    assert torch.equal(both[:1], count_pixels(REGIONS, FOREGROUND, TRUE, 2, GRID))


def _picture() -> tuple[np.ndarray, np.ndarray]:
    """True: a mark of 36 pixels. Answer: that mark and two false specks, of 2 and 3 pixels."""
    answer, mask = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    mask[4:10, 4:10] = 1
    answer[4:10, 4:10] = 1
    answer[20, 20] = answer[21, 21] = 1  # diagonal neighbours: one part of 2 pixels
    answer[30, 2:5] = 2
    return answer, mask


def test_specks_are_dropped_as_long_as_no_true_part_is_lost() -> None:
    answer, mask = _picture()
    counts = count_parts(answer, mask)
    sizes = np.asarray(SIZES_PX)
    assert counts[: len(sizes)].tolist() == (36 * (sizes <= 36) + 2 * (sizes <= 2) + 3 * (sizes <= 3)).tolist()
    assert counts[len(sizes) : 2 * len(sizes)].tolist() == (36 * (sizes <= 36)).tolist()
    assert counts[-2:].tolist() == [36, 36]
    assert best_size(counts[None]) == 4


def test_a_small_true_part_keeps_specks_that_are_larger() -> None:
    answer, mask = _picture()
    small_answer, small_mask = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    small_mask[9, 9:11] = 1
    small_answer[9, 9:11] = 1
    small_answer[20:24, 20:24] = 1
    counts = np.stack([count_parts(answer, mask), count_parts(small_answer, small_mask)])
    assert best_size(counts) == 1
    assert best_size(np.stack([count_parts(answer, mask), count_parts(small_answer, np.zeros_like(mask))])) == 32
    assert best_size(count_parts(small_answer, np.zeros_like(mask))[None]) == 1


def test_ignored_pixels_count_neither_as_found_nor_as_there() -> None:
    answer, mask = _picture()
    mask[20:22, 20:22] = IGNORED
    assert count_parts(answer, mask)[0] == 36 + 3
