"""Run lengths are those of pycocotools, and none is read past its end."""

import numpy as np
import pytest
from pycocotools import mask as cocotools

from dataset.masks.run_lengths import decode_runs
from dataset.masks.source_masks import MaskError


def _text(mask: np.ndarray) -> str:
    counts: bytes = cocotools.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return counts.decode()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 211)])
def test_compressed_runs_are_read_as_they_were_written(shape: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(shape[0]).random(shape) < share
    np.testing.assert_array_equal(decode_runs(_text(mask), *shape), mask)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (None, "neither run lengths nor"),
        ([1.5, 33.5], "neither run lengths nor"),
        ([-3, 38], "neither run lengths nor"),
        ([True, 34], "neither run lengths nor"),
        ([], "of 0 pixels, and its picture has 35"),
        ([11, 2], "of 13 pixels"),
        ([11, 2, 100], "of 113 pixels"),
        ("", "of 0 pixels"),
        ("zzzz", "'z', which"),
        (";23 0004", "' ', which"),
        ("P", "end within a run length"),
        ("MMM", "neither run lengths nor"),
    ],
)
def test_runs_that_do_not_fill_the_picture_are_refused(counts: object, reason: str) -> None:
    with pytest.raises(MaskError, match=reason):
        decode_runs(counts, 5, 7)
