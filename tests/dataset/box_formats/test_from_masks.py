"""Boxes of masks: which parts are one object, and which are none."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dataset.annotations import IGNORED
from dataset.box_formats.from_masks import boxes_of_mask
from dataset.boxes import AnnotatedBox
from dataset.masks.source_masks import read_above_middle

SIDE = 300  # one hundredth of it are 3 pixels
NAMES = ("crack", "hole")


def _mask(*marked: tuple[int, int, int, int, int]) -> np.ndarray:
    """Return a mask with rectangles of (value, left, top, right, bottom)."""
    mask = np.zeros((SIDE, SIDE + 50), np.uint8)
    for value, left, top, right, bottom in marked:
        mask[top:bottom, left:right] = value
    return mask


def _box(name: str, *corners: float, ignored: bool = False) -> AnnotatedBox:
    left, top, right, bottom = corners
    return AnnotatedBox(name, (left, top, right, bottom), ignored)


def test_each_part_has_the_box_of_its_own_pixels_and_the_object_of_its_value() -> None:
    mask = _mask((1, 10, 20, 40, 25), (2, 100, 200, 350, 300), (1, 60, 20, 80, 50))
    crack, other, hole = _box("crack", 10, 20, 40, 25), _box("crack", 60, 20, 80, 50), _box("hole", 100, 200, 350, 300)
    assert boxes_of_mask(mask, NAMES) == [crack, other, hole]
    assert boxes_of_mask(_mask(), NAMES) == []


def test_fragments_that_touch_when_widened_by_a_hundredth_are_one_object() -> None:
    """6 pixels lie between them, of which each takes 3; 7 are too many. A corner is enough."""
    near = _mask((1, 10, 20, 40, 40), (1, 46, 46, 80, 60))
    assert boxes_of_mask(near, NAMES) == [_box("crack", 10, 20, 80, 60)]
    apart = _mask((1, 10, 20, 40, 40), (1, 47, 46, 80, 60))
    assert len(boxes_of_mask(apart, NAMES)) == 2
    assert len(boxes_of_mask(_mask((1, 10, 20, 40, 40), (2, 42, 20, 80, 60)), NAMES)) == 2  # of two regions


def test_what_is_smaller_than_15_pixels_is_dropped_unless_nothing_else_is_there() -> None:
    """Fragments count together; of a region that has nothing larger, one box holds all."""
    mask = _mask((1, 10, 20, 40, 40), (1, 200, 200, 207, 202), (2, 100, 100, 107, 102), (2, 300, 280, 301, 281))
    assert boxes_of_mask(mask, NAMES) == [_box("crack", 10, 20, 40, 40), _box("hole", 100, 100, 301, 281)]
    together = _mask((1, 10, 20, 40, 40), (1, 200, 200, 207, 202), (1, 210, 200, 211, 201))
    assert boxes_of_mask(together, NAMES) == [_box("crack", 10, 20, 40, 40), _box("crack", 200, 200, 211, 202)]


def test_what_is_ignored_may_be_any_object_and_an_ignored_edge_is_none() -> None:
    mask = _mask(
        (IGNORED, 8, 18, 42, 42), (2, 10, 20, 40, 40), (IGNORED, 200, 200, 250, 210), (IGNORED, 0, 280, 2, 284)
    )
    unknown = [_box(name, 200, 200, 250, 210, ignored=True) for name in NAMES]
    assert boxes_of_mask(mask, NAMES) == [_box("hole", 10, 20, 40, 40), *unknown]
    everything = [_box(name, 0, 0, SIDE + 50, SIDE, ignored=True) for name in NAMES]
    assert boxes_of_mask(np.full((SIDE, SIDE + 50), IGNORED, np.uint8), NAMES) == everything


@pytest.mark.reference
def test_the_photographs_masks_hold_as_many_objects_as_the_docs_say(reference_dir: Path) -> None:
    counts: Counter[str] = Counter()
    for path in reference_dir.glob("MT_*/Imgs/*.png"):
        label = path.parent.parent.name.removeprefix("MT_")
        if label == "Free":  # marks nothing
            continue
        counts[label] += len(boxes_of_mask(read_above_middle(path.read_bytes()).values, (label,)))
    assert counts == {"Blowhole": 115, "Break": 117, "Crack": 70, "Fray": 37, "Uneven": 101}
