"""Proof that the exported graph answers as the trained network does, over a whole split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from evaluation.document import read_document
from project.progress import progress

PARITY_FILE = "parity.json"

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.floating]]
ImageBatch = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Predict = Callable[[ImageBatch], FloatArray]


class ParityError(RuntimeError):
    """The exported graph does not answer as the network, or nobody knows: nothing may be registered."""


class Parity(BaseModel):
    """What the comparison showed: the file `parity.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    num_images: int
    batch_sizes: tuple[int, ...]
    max_probability_difference: float
    limit: float
    argmax_agreement: float

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `parity.json`. Raises ParityError if it is missing or malformed."""
        return read_document(cls, path, "parity record", "`make export`", ParityError)

    def check(self) -> None:
        """Raise ParityError if a probability differs by more than the limit or another class wins."""
        if self.argmax_agreement < 1 or not self.max_probability_difference <= self.limit:
            raise ParityError(
                f"the ONNX graph differs from the network over {self.num_images} {self.split} pictures: probabilities "
                f"by up to {self.max_probability_difference:.2e} (limit {self.limit:.0e}), same class in "
                f"{self.argmax_agreement:.2%} (must be 100%)"
            )


@dataclass
class _Worst:
    difference: float = 0.0
    num_compared: int = 0
    num_equal: int = 0

    def add(self, expected: FloatArray, got: FloatArray) -> None:
        # NaN compares false everywhere, so it is made the largest difference there is.
        self.difference = max(self.difference, float(np.nan_to_num(np.abs(expected - got), nan=np.inf).max()))
        self.num_compared += len(expected)
        self.num_equal += int((expected.argmax(axis=1) == got.argmax(axis=1)).sum())


def measure_parity(
    images: Sequence[ImageBatch],
    expected: Predict,
    exported: Predict,
    batch_sizes: Sequence[int],
    limit: float,
    split: str,
) -> Parity:
    """Compare two `predict` functions on the same pictures, at every batch size.

    images: one `(height, width, 3)` uint8 array a picture. The network runs in batches of its own, so that the graph's
    batch size is the only thing that varies.
    """
    if not images:
        raise ParityError(f"there is no {split} picture to compare on")
    reference = np.concatenate([expected(np.stack(images[i : i + 32])) for i in range(0, len(images), 32)])
    worst = _Worst()
    for size in batch_sizes:
        for start in progress(range(0, len(images), size), f"parity at batch {size}", unit="batch", leave=False):
            batch = np.stack(images[start : start + size])
            worst.add(reference[start : start + size], exported(batch))
    return Parity(
        split=split,
        num_images=len(images),
        batch_sizes=tuple(batch_sizes),
        max_probability_difference=worst.difference,
        limit=limit,
        argmax_agreement=worst.num_equal / worst.num_compared,
    )
