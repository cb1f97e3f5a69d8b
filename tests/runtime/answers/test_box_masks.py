"""Masks of boxes: pixel by pixel what a region and a box share."""

import warnings

import numpy as np
import pytest
from pycocotools import mask as coco

from runtime.answers.box_masks import with_masks
from runtime.answers.classification import ModelIdentity
from runtime.answers.detection import DetectedBox, Detection
from runtime.answers.segmentation import Box, Region, RunLengths, Segmentation

HEIGHT, WIDTH = 12, 16


def region(rows: slice, columns: slice) -> tuple[Region, np.ndarray]:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[rows, columns] = 1
    pixels[rows.start, columns.start] = 0  # no rectangle
    found = coco.encode(np.asfortranarray(pixels))
    around = Box(left=columns.start, top=rows.start, right=columns.stop, bottom=rows.stop)
    lengths = RunLengths(size=(HEIGHT, WIDTH), counts=found["counts"].decode())
    area = int(pixels.sum())
    made = Region(label="x", class_id=0, score=1, box=around, area_px=area, area_share=area / pixels.size, mask=lengths)
    return made, pixels.astype(bool)


ONE, ONE_PIXELS = region(slice(2, 9), slice(1, 7))
OTHER, OTHER_PIXELS = region(slice(0, 12), slice(8, 16))
SEGMENTATION = Segmentation(
    label="x", class_id=0, probability=1, probabilities={"x": 1}, logits={"x": 1}, width=WIDTH, height=HEIGHT,
    regions=[OTHER, ONE], num_regions=2, model=ModelIdentity(name="m", version="1", sha256="0" * 64),
)  # fmt: skip


def masks_of(*boxes: tuple[float, float, float, float]) -> list[RunLengths | None]:
    detections = [
        Detection(box=DetectedBox(x1=x1, y1=y1, x2=x2, y2=y2), score=1, class_id=0, class_name="x")
        for x1, y1, x2, y2 in boxes
    ]
    return [detection.mask_rle for detection in with_masks(detections, SEGMENTATION)]


@pytest.mark.parametrize(
    ("box", "rows", "columns", "expected"),
    [
        ((0, 0, 16, 12), slice(0, 12), slice(0, 16), OTHER_PIXELS),
        ((2.5, 3.4, 5.5, 7.6), slice(3, 8), slice(2, 5), ONE_PIXELS),  # centres are at halves: 2.5 is in, 5.5 is not
        ((5.2, 0, 10.4, 12), slice(0, 12), slice(5, 10), OTHER_PIXELS),
        ((4.6, 0, 8.4, 12), slice(0, 12), slice(5, 8), ONE_PIXELS),
        ((3.2, 4, 3.9, 4.9), slice(4, 5), slice(3, 4), ONE_PIXELS),
        ((15, 11, 16, 12), slice(11, 12), slice(15, 16), OTHER_PIXELS),
    ],
)
def test_the_mask_is_what_the_region_with_most_pixels_has_in_the_box(
    box: tuple[float, float, float, float], rows: slice, columns: slice, expected: np.ndarray
) -> None:
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[rows, columns] = True
    [mask] = masks_of(box)
    assert mask is not None
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools with NumPy 2
        decoded = coco.decode(mask.model_dump()).astype(bool)
    assert np.array_equal(decoded, expected & inside)


def test_where_nothing_is_seen_there_is_no_mask() -> None:
    corner_left_out, between_centres, beside = (1, 2, 2, 3), (3.6, 4.6, 4.4, 5.4), (7, 0, 8, 12)
    assert masks_of(corner_left_out, between_centres, beside) == [None, None, None]
