"""What a graph computed of a batch, taken apart by image and put together again by request."""

from collections.abc import Sequence

import numpy as np

from runtime.model.contract import OutputArray, Outputs

Row = dict[str, OutputArray]
"""One image's part of every output."""


def to_rows(outputs: Outputs) -> list[Row]:
    """Return the outputs image by image, in order; views, nothing is copied."""
    return [dict(zip(outputs, parts, strict=True)) for parts in zip(*outputs.values(), strict=True)]


def stack_rows(rows: Sequence[Row]) -> Outputs:
    """Return the outputs of one or more images as one batch, in order."""
    if len(rows) == 1:  # nearly every request: nothing to copy
        return {name: part[None] for name, part in rows[0].items()}
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
