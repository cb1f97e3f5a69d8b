"""What the pictures with the worst boxes look like: truth and answer as boxes over the picture."""

import io

import numpy as np
from PIL import Image, ImageDraw

from evaluation.boxes.matching import LOOSE, RIGHT, WRONG, match_boxes
from evaluation.boxes.picture_boxes import PictureBoxes
from evaluation.outlines.parts import NEVER, FloatArray
from evaluation.outlines.worst import FALSE, MISSED, UNKNOWN
from evaluation.outlines.worst import RIGHT as FITS
from runtime.model.image import ImageArray

MAX_SIDE_PX = 448  # of each half: a large picture is shown reduced
_GAP_PX = 4
_LINE_PX = 2

Colour = tuple[int, int, int]


def draw_boxes(image_hwc: ImageArray, boxes: PictureBoxes, width: int, height: int) -> bytes:
    """Return a PNG: left the picture, right the same with its boxes.

    image_hwc: the picture, `(H, W, 3)` uint8, perhaps decoded at reduced scale. width, height: of the picture itself,
    in whose pixels the boxes are. Missed objects, wrong boxes and right ones have the colours of
    `evaluation.outlines.worst`, and a right one lies over the object that it finds, which is drawn thin. What a box is
    called does not matter: where an object lies and what it is are two questions.
    """
    plain = Image.fromarray(image_hwc)
    plain.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    scale = np.asarray([plain.width / width, plain.height / height] * 2)
    drawn = plain.copy()
    pen = ImageDraw.Draw(drawn)
    for corners, colour, line_px in _strokes(boxes):
        left, top, right, bottom = np.rint(corners * scale).astype(int).tolist()
        # Line by line inwards, for Pillow's own thick lines reach out of a thin box, which ends before its right and
        # its lower edge. What is drawn holds at least one pixel.
        for inset in range(line_px):
            ends = max(left, right - 1) - inset, max(top, bottom - 1) - inset
            if ends[0] >= left + inset and ends[1] >= top + inset:
                pen.rectangle((left + inset, top + inset, *ends), outline=colour)
    gap = np.full((plain.height, _GAP_PX, 3), 255, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.hstack([np.asarray(plain), gap, np.asarray(drawn)])).save(buffer, "PNG")
    return buffer.getvalue()


def _strokes(boxes: PictureBoxes) -> list[tuple[FloatArray, Colour, int]]:
    """Return what is drawn, the lowest first: corners, colour and width of the line in pixels."""
    truth, found = boxes.truth, boxes.found.take(np.flatnonzero(boxes.found.scores >= boxes.threshold))
    matched = match_boxes(truth, found.corners, found.scores)
    is_missed = matched.found_by <= NEVER
    there = truth.corners[~truth.ignored]
    outcomes = matched.outcomes[LOOSE]
    answered = found.corners[: len(outcomes)]
    return [
        *((one, UNKNOWN, 1) for one in truth.corners[truth.ignored]),
        *((one, UNKNOWN, 1) for one in answered[outcomes < WRONG]),
        *((one, MISSED, 1) for one in there[~is_missed]),
        *((one, FALSE, _LINE_PX) for one in answered[outcomes == WRONG]),
        *((one, FITS, _LINE_PX) for one in answered[outcomes == RIGHT]),
        *((one, MISSED, _LINE_PX) for one in there[is_missed]),
    ]
