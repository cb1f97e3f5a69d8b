"""Read COCO's run lengths, with every run checked: pycocotools reads past the end of runs that are too short."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dataset.annotations import MarkedArray
from dataset.masks.source_masks import MaskError

_FIRST, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10  # of COCO's text: five bits a character, from '0' on


def decode_runs(counts: object, height: int, width: int) -> MarkedArray:
    """Return `(height, width)` bool of run lengths, column by column, the first of background.

    counts: whole numbers, or COCO's compressed text of them. Raises MaskError for what is neither, and for runs that do
    not fill the picture.
    """
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or any(type(run) is not int or run < 0 for run in runs):
        raise MaskError("its counts are neither run lengths nor COCO's text of them")
    if (total := sum(runs)) != height * width:
        raise MaskError(f"its run lengths are of {total} pixels, and its picture has {height * width}")
    is_marked = np.arange(len(runs)) % 2 == 1
    return np.repeat(is_marked, runs).reshape(width, height).T


def _uncompressed(text: str) -> Sequence[Any]:
    """Return the run lengths of COCO's text; from the third on, it says how far each is from the one before last."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - _FIRST
        if not 0 <= code < 2 * _MORE:
            raise MaskError(f"its counts hold {character!r}, which COCO's text of run lengths does not")
        value |= (code & (_MORE - 1)) << shift
        shift += _BITS
        if code & _MORE:
            continue
        if code & _SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise MaskError("its counts end within a run length")
    return runs
