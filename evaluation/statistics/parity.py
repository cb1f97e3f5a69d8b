"""Proof that the exported graph answers as the trained network does, over a whole split."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from evaluation.document import read_document
from evaluation.statistics.box_parity import MAX_BOX_DIFFERENCE_PX, BoxDifferences
from project.progress import progress
from runtime.model.contract import FOREGROUND, PROBABILITIES, REGION_MAP, SCORES, ModelContract, Outputs, Task

PARITY_FILE = "parity.json"
MIN_MAP_AGREEMENT = 0.9999
# Where two neighbouring cells are as high but for rounding, either may be the peak.
MIN_BOX_AGREEMENT = 0.999
_NETWORK_BATCH = 32  # fewest pictures that the network is asked about at once

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.floating]]
ImageBatch = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Predict = Callable[[ImageBatch], FloatArray]
Compute = Callable[[ImageBatch], Outputs]
"""From `(N, height, width, 3)` uint8 to a graph's outputs, or those of them that are compared."""


class Images(Protocol):
    """Pictures that may be read when they are asked for, each `(height, width, 3)` uint8."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> ImageBatch: ...


class ParityError(RuntimeError):
    """The exported graph does not answer as the network, or nobody knows: nothing may be registered."""


class Parity(BaseModel):
    """What the comparison showed: the file `parity.json`.

    Of segmentation alone: `max_foreground_difference`, of any pixel's probability, and `map_agreement`, the share of
    all pixels that get the same region, or none, from both. Of detection alone: of `num_boxes` candidates of both,
    `box_agreement` is the share that the other has, too: of the same object, its sides within 0.05 pixels and its score
    within the limit; `max_box_difference` and `max_score_difference` are the largest among these.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    num_images: int
    batch_sizes: tuple[int, ...]
    max_probability_difference: float
    limit: float
    argmax_agreement: float
    max_foreground_difference: float | None = None
    map_agreement: float | None = None
    num_boxes: int | None = None
    max_box_difference: float | None = None
    max_score_difference: float | None = None
    box_agreement: float | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `parity.json`. Raises ParityError if it is missing or malformed."""
        return read_document(cls, path, "parity record", "`make export`", ParityError)

    def to_json(self) -> str:
        """Return the text of `parity.json`, without what the task does not measure."""
        return self.model_dump_json(indent=2, exclude_none=True) + "\n"

    def check(self) -> None:
        """Raise ParityError if a probability differs by more than the limit or another class wins.

        Of segmentation, too, if the map differs in more than one pixel of 10,000, of detection, if one candidate of
        1,000 is another.
        """
        differences = [self.max_probability_difference, self.max_foreground_difference or 0.0]
        is_same_map = self.map_agreement is None or self.map_agreement >= MIN_MAP_AGREEMENT
        are_same_boxes = self.box_agreement is None or self.box_agreement >= MIN_BOX_AGREEMENT
        is_same = is_same_map and are_same_boxes and self.argmax_agreement == 1
        if not is_same or not all(d <= self.limit for d in differences):
            raise ParityError(
                f"the ONNX graph differs from the network over {self.num_images} {self.split} pictures: probabilities "
                f"by up to {self.max_probability_difference:.2e} (limit {self.limit:.0e}), same class in "
                f"{self.argmax_agreement:.2%} (must be 100%){self._map_in_words()}"
                f"{self._boxes_in_words()}"
            )

    def check_task(self, contract: ModelContract) -> None:
        """Raise ParityError unless all was measured that the contract's task asks for, and nothing else."""
        measured: dict[Task, tuple[bool, str]] = {
            "segmentation": (None not in (self.map_agreement, self.max_foreground_difference), "pixel by pixel"),
            "detection": (None not in (self.num_boxes, self.box_agreement), "box by box"),
        }
        for task, (is_measured, how) in measured.items():
            if is_measured != (contract.task == task):
                raise ParityError(
                    f"parity was {'' if is_measured else 'not '}measured {how}, but the model's task is "
                    f"{contract.task}; run `make export`"
                )

    def _map_in_words(self) -> str:
        if self.map_agreement is None:
            return ""
        return (
            f"; probabilities of pixels by up to {self.max_foreground_difference:.2e} (same limit), same map in "
            f"{self.map_agreement:.4%} of the pixels (must be {MIN_MAP_AGREEMENT:.2%})"
        )

    def _boxes_in_words(self) -> str:
        if self.box_agreement is None:
            return ""
        return (
            f"; same box, within {MAX_BOX_DIFFERENCE_PX} pixels and with a score within that limit, in "
            f"{self.box_agreement:.3%} of {self.num_boxes} candidates (must be {MIN_BOX_AGREEMENT:.1%})"
        )


@dataclass
class _Worst:
    """threshold: of `foreground`, below which a pixel is background; None if there are no maps.

    boxes: what differs in them; compared if both have scores.
    """

    threshold: float | None
    boxes: BoxDifferences
    difference: float = 0.0
    num_compared: int = 0
    num_equal: int = 0
    foreground_difference: float = 0.0
    num_pixels: int = 0
    num_equal_pixels: int = 0

    def add(self, expected: Outputs, got: Outputs) -> None:
        """Note one batch."""
        probs, others = expected[PROBABILITIES], got[PROBABILITIES]
        self.difference = max(self.difference, _largest_difference(probs, others))
        self.num_compared += len(probs)
        self.num_equal += int((probs.argmax(axis=1) == others.argmax(axis=1)).sum())
        if SCORES in expected:
            self.boxes.add(expected, got)
        if self.threshold is None:
            return
        largest = _largest_difference(expected[FOREGROUND], got[FOREGROUND])
        self.foreground_difference = max(self.foreground_difference, largest)
        maps = [np.where(out[FOREGROUND] >= self.threshold, out[REGION_MAP], 0) for out in (expected, got)]
        self.num_pixels += maps[0].size
        self.num_equal_pixels += int((maps[0] == maps[1]).sum())


def _largest_difference(expected: FloatArray, got: FloatArray) -> float:
    # NaN compares false everywhere, so it is made the largest difference there is.
    return float(np.nan_to_num(np.abs(expected - got), nan=np.inf).max())


def measure_parity(
    images: Images,
    expected: Compute,
    exported: Compute,
    batch_sizes: Sequence[int],
    limit: float,
    split: str,
    threshold: float | None = None,
) -> Parity:
    """Compare two ways to compute a graph's outputs on the same pictures, at every batch size.

    images: each is asked for once and soon let go. threshold: a segmentation's; given it, `region_map` and
    `foreground` are compared, too; boxes are where `expected` gives scores. The network runs in batches of its own, so
    that the graph's batch size is the only thing that varies.
    """
    if not len(images):
        raise ParityError(f"there is no {split} picture to compare on")
    worst, has_boxes = _Worst(threshold, BoxDifferences(limit)), False
    largest = max(batch_sizes)
    at_once = largest * math.ceil(_NETWORK_BATCH / largest)
    for first in progress(range(0, len(images), at_once), "parity", unit="batch", leave=False):
        block = np.stack([images[i] for i in range(first, min(first + at_once, len(images)))])
        reference = expected(block)
        has_boxes = SCORES in reference
        for size in batch_sizes:
            for start in range(0, len(block), size):
                part = slice(start, start + size)
                worst.add({name: values[part] for name, values in reference.items()}, exported(block[part]))
    of_pixels = {
        "max_foreground_difference": worst.foreground_difference,
        "map_agreement": worst.num_equal_pixels / worst.num_pixels,
    } if threshold is not None else {}  # fmt: skip
    boxes = worst.boxes
    of_boxes = {
        "num_boxes": boxes.num_boxes,
        "max_box_difference": boxes.furthest_px,
        "max_score_difference": boxes.furthest_score,
        "box_agreement": boxes.num_equal / max(boxes.num_boxes, 1),
    } if has_boxes else {}  # fmt: skip
    return Parity(
        split=split,
        num_images=len(images),
        batch_sizes=tuple(batch_sizes),
        max_probability_difference=worst.difference,
        limit=limit,
        argmax_agreement=worst.num_equal / worst.num_compared,
        **of_pixels,
        **of_boxes,
    )
