"""Draw a mask into its picture, for people: the edge of every region in its colour, hatched where it is ignored."""

import cv2
import numpy as np

from dataset.annotations import IGNORED
from runtime.model.image import ImageArray

Colour = tuple[int, int, int]

# Told apart on grey ground, also by people who do not tell red from green (after Okabe and Ito).
COLOURS: tuple[Colour, ...] = (
    (213, 94, 0), (86, 180, 233), (240, 228, 66), (0, 158, 115), (204, 121, 167), (230, 159, 0), (0, 114, 178),
)  # fmt: skip
HATCH: Colour = (160, 160, 160)
_HATCH_STEP_PX = 4
LOOKED_AT_PX = 96  # the shorter side of a picture to look at, in which an edge must still be seen


def colour_of(value: int) -> Colour:
    """Return the colour of a region by its value in a mask, from 1 on; they come round."""
    return COLOURS[(value - 1) % len(COLOURS)]


def drawn_in(image: ImageArray, mask: ImageArray) -> ImageArray:
    """Return a copy of the `(h, w, 3)` picture with what the `(h, w)` mask says, uint8 both.

    The inner edge of every region is in its colour, as wide as it must be to be seen when the picture is made small;
    every fourth diagonal of what is ignored is grey.
    """
    copy = image.copy()
    rows, columns = np.indices(mask.shape)
    copy[(mask == IGNORED) & ((rows + columns) % _HATCH_STEP_PX == 0)] = HATCH
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    width_px = max(1, round(min(mask.shape) / LOOKED_AT_PX))
    for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=IGNORED)[:IGNORED]).tolist():
        if value:
            region = (mask == value).astype(np.uint8)
            copy[region > cv2.erode(region, cross, iterations=width_px, borderValue=0)] = colour_of(value)
    return copy
