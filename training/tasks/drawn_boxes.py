"""Draw boxes into their picture, for people: each in its object's colour, grey where it is ignored."""

import cv2
import numpy as np

from runtime.model.image import ImageArray
from training.data.tensors import BoxArray
from training.tasks.detection_loss import IGNORED, OBJECT, STATE
from training.tasks.drawn_masks import HATCH, LOOKED_AT_PX, colour_of


def boxed_in(image: ImageArray, boxes: BoxArray) -> ImageArray:
    """Return a copy of the `(h, w, 3)` uint8 picture with its boxes `(m, 6)`, as `box_loss` takes them.

    The line lies inside the box and is as wide as it must be to be seen when the picture is made small. Boxes that
    count lie over those that are ignored.
    """
    copy = np.ascontiguousarray(image).copy()
    height, width = image.shape[:2]
    width_px = max(1, round(min(height, width) / LOOKED_AT_PX))
    for box in sorted(boxes, key=lambda box: bool(box[STATE] != IGNORED)):
        left, top, right, bottom = np.rint(box[:4]).astype(int).clip(0, [width, height, width, height]).tolist()
        colour = HATCH if box[STATE] == IGNORED else colour_of(int(box[OBJECT]) + 1)
        for inset in range(width_px):
            first, last = (left + inset, top + inset), (right - 1 - inset, bottom - 1 - inset)
            if first[0] <= last[0] and first[1] <= last[1]:
                cv2.rectangle(copy, first, last, colour)
    return copy
