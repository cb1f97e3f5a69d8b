"""Measure outlines on validation pictures: Dice and IoU of each region and of all, and what the answer's settings are.

An answer is background where the foreground is below a threshold, and drops parts that are too small. Both are chosen
here, by the Dice of all pixels of all pictures together, at the size of the network's input; ignored pixels count
nowhere.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from dataset.annotations import IGNORED

DEFAULT_THRESHOLD = 0.5
THRESHOLDS = tuple(round(step / 50, 2) for step in range(1, 50))
SIZES_PX = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # smallest parts that are tried

IntArray = npt.NDArray[np.int64]
MaskArray = npt.NDArray[np.uint8]


def count_pixels(
    region_map: torch.Tensor, foreground: torch.Tensor, masks: torch.Tensor, num_regions: int, grid: Sequence[float]
) -> torch.Tensor:
    """Count the known pixels of each picture: `(n, 3, regions, len(grid) + 1)` int64.

    region_map, masks: `(n, h, w)` uint8. foreground: `(n, h, w)` float32. Of each region the counts are of pixels that
    the map gives to it, of those that truly are of it, and, at 0 alone, of all that are. The last axis says how many
    thresholds of the rising `grid` the pixel's foreground reaches.
    """
    num_bins = len(grid) + 1
    reached = torch.bucketize(foreground, torch.tensor(grid, device=foreground.device), right=True)
    known, size = masks != IGNORED, num_regions * num_bins
    rows = torch.arange(len(masks), device=masks.device).view(-1, 1, 1)

    def counted(which: torch.Tensor, region: torch.Tensor, bins: torch.Tensor | int) -> torch.Tensor:
        places = rows * size + (region.long() - 1) * num_bins + bins
        return torch.bincount(places[which], minlength=len(masks) * size).view(-1, num_regions, num_bins)

    found = counted(known, region_map, reached)
    overlap = counted(known & (masks == region_map), region_map, reached)
    there = counted(known & (masks > 0), masks, 0)
    return torch.stack([found, overlap, there], dim=1)


@dataclass(frozen=True)
class RegionCounts:
    """Pixels of all pictures. found, overlap: `(regions, len(grid))`, of each threshold. there: `(regions,)`."""

    grid: tuple[float, ...]
    found: IntArray
    overlap: IntArray
    there: IntArray

    @classmethod
    def of(cls, counts: npt.ArrayLike, grid: Sequence[float]) -> "RegionCounts":
        """Sum up what `count_pixels` gave of each picture, `(N, 3, regions, len(grid) + 1)`."""
        found, overlap, there = np.asarray(counts, dtype=np.int64).sum(axis=0)
        # Of pixels that reach k thresholds, those from the k-th on: sums from the right, without the bin of none.
        found, overlap = (np.cumsum(part[:, ::-1], axis=1)[:, ::-1][:, 1:] for part in (found, overlap))
        return cls(tuple(grid), found, overlap, there[:, 0])

    def best_threshold(self) -> float:
        """Return the threshold with the highest Dice of all, of several the middle one; the default without marks."""
        if not self.there.sum():
            return DEFAULT_THRESHOLD if DEFAULT_THRESHOLD in self.grid else self.grid[0]
        dice = 2 * self.overlap.sum(axis=0) / (self.found.sum(axis=0) + self.there.sum())
        best = np.flatnonzero(dice == dice.max())
        return self.grid[int(best[len(best) // 2])]

    def figures(self, threshold: float, regions: Sequence[str]) -> dict[str, float]:
        """Return `val_dice` and `val_iou` of all pixels and of each region, by the names that are logged.

        A region that no picture shows has none, and nothing has where no picture shows any.
        """
        at = self.grid.index(threshold)
        found, overlap = self.found[:, at], self.overlap[:, at]
        parts = {"": (overlap.sum(), found.sum(), self.there.sum())}
        for i, name in enumerate(metric_names(regions)):
            parts[f".{name}"] = overlap[i], found[i], self.there[i]
        figures: dict[str, float] = {}
        for name, (both, given, there) in parts.items():
            if there:
                figures[f"val_dice{name}"] = float(2 * both / (given + there))
                figures[f"val_iou{name}"] = float(both / (given + there - both))
        return figures


def metric_names(regions: Sequence[str]) -> list[str]:
    """Return names of what is found as MLflow takes them in a metric's, each once."""
    plain = [re.sub(r"[^\w-]", "_", name) for name in regions]
    return [name if plain.count(name) == 1 else f"{name}_{i + 1}" for i, name in enumerate(plain)]


def count_parts(answer: MaskArray, mask: MaskArray) -> IntArray:
    """Count what is left of a picture's answer for each of SIZES_PX, if smaller connected parts are dropped.

    answer, mask: `(h, w)` uint8, regions from 1; ignored pixels are 255 in the mask. Returns `(2 * sizes + 2,)`: pixels
    found and overlapping for each size, those there, and the largest size that loses no true part which was found.
    """
    found, overlap = np.zeros(len(SIZES_PX), np.int64), np.zeros(len(SIZES_PX), np.int64)
    known, largest = mask != IGNORED, SIZES_PX[-1]
    for region in np.unique(answer[answer > 0]):
        true = mask == region
        num_parts, parts, statistics, _ = cv2.connectedComponentsWithStats((answer == region).astype(np.uint8))
        num_true, true_parts = cv2.connectedComponents(true.astype(np.uint8))
        sizes = statistics[:, cv2.CC_STAT_AREA]
        kept = (sizes[:, None] >= SIZES_PX) & (np.arange(num_parts) > 0)[:, None]
        found += np.bincount(parts[known], minlength=num_parts) @ kept
        overlap += np.bincount(parts[true], minlength=num_parts) @ kept
        on = np.zeros(num_true, dtype=np.int64)  # of each true part the largest part of the answer on it
        both = true & (parts > 0)
        np.maximum.at(on, true_parts[both], sizes[parts[both]])
        largest = min([largest, *on[on > 0].tolist()])
    return np.array([*found, *overlap, (known & (mask > 0)).sum(), largest], dtype=np.int64)


def best_size(counts: npt.ArrayLike) -> int:
    """Return the smallest part to keep, in pixels, by what `count_parts` gave of each picture, `(N, 2 * sizes + 2)`.

    It is the size with the highest Dice of all among those that lose no true part; of several, the smallest; 1 without
    any mark. Dice alone would drop small defects for the sake of a few large false ones.
    """
    table = np.asarray(counts, dtype=np.int64)
    found, overlap = (table[:, part : part + len(SIZES_PX)].sum(axis=0) for part in (0, len(SIZES_PX)))
    there, largest = table[:, -2].sum(), table[:, -1].min()
    if not there:
        return 1
    dice = np.where(np.asarray(SIZES_PX) <= largest, 2 * overlap / (found + there), -1)
    return SIZES_PX[int(dice.argmax())]
