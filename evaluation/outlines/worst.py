"""Which pictures were outlined worst, and what they look like: truth and answer over the picture."""

import io
from collections import Counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.outlines.document import Kind
from evaluation.outlines.parts import IGNORED, BoolArray, ByteMap, IntArray
from evaluation.outlines.picture_sums import FOUND, OVERLAP, THERE
from runtime.model.image import ImageArray

MAX_MISSES, MAX_FALSE_ALARMS = 12, 6
# Okabe and Ito's colours, which the colour-blind tell apart.
MISSED, FALSE, RIGHT, UNKNOWN = (0, 158, 115), (213, 94, 0), (240, 228, 66), (120, 120, 120)
_OPACITY = 0.55
_GAP_PX = 4
_MAX_SIDE_PX = 448  # of each half: a large input is shown reduced


class Chosen(NamedTuple):
    """A picture to be shown: its position among those measured."""

    kind: Kind
    place: int


def choose_worst(pixels: IntArray, groups: npt.NDArray[np.object_], paths: npt.NDArray[np.object_]) -> list[Chosen]:
    """Return the pictures with the lowest Dice, then those without a region where most was answered.

    pixels: `(N, 3)` of any region. Of each kind first one picture of every group, then the next of every group; of
    equal ones the larger region, then the order of paths.
    """
    overlap, found, there = (pixels[:, column] for column in (OVERLAP, FOUND, THERE))
    dice = 2 * overlap / np.maximum(found + there, 1)
    missed = np.flatnonzero((there > 0) & (dice < 1))
    alarms = np.flatnonzero((there == 0) & (found > 0))
    ranked = sorted(missed, key=lambda place: (dice[place], -there[place], paths[place]))
    loudest = sorted(alarms, key=lambda place: (-found[place], paths[place]))
    return [
        *(Chosen("miss", place) for place in _by_turns(ranked, groups)[:MAX_MISSES]),
        *(Chosen("false_alarm", place) for place in _by_turns(loudest, groups)[:MAX_FALSE_ALARMS]),
    ]


def _by_turns(ranked: list[np.intp], groups: npt.NDArray[np.object_]) -> list[int]:
    """Return the same positions, the first of every group before the second of any."""
    num_before: Counter[str] = Counter()
    turns = []
    for place in ranked:
        turns.append(num_before[groups[place]])
        num_before[groups[place]] += 1
    return [int(ranked[order]) for order in np.argsort(turns, kind="stable")]


def draw_outlines(image_hwc: ImageArray, truth: ByteMap, answer: ByteMap) -> bytes:
    """Return a PNG: left the picture, right the same with what was missed, wrongly answered and right.

    image_hwc: the network's input, `(H, W, 3)` uint8. A right pixel of another region than the true one is outlined
    right: where a defect lies and what it is are two questions.
    """
    is_known = truth != IGNORED
    there, found = (truth > 0) & is_known, (answer > 0) & is_known
    overlay = image_hwc.astype(np.float64)
    for where, colour in ((there & ~found, MISSED), (found & ~there, FALSE), (there & found, RIGHT)):
        overlay[where] = (1 - _OPACITY) * overlay[where] + _OPACITY * np.asarray(colour)
    overlay[_hatched(~is_known)] = UNKNOWN
    halves = [_reduced(half) for half in (image_hwc, np.rint(overlay).astype(np.uint8))]
    gap = np.full((halves[0].shape[0], _GAP_PX, 3), 255, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.hstack([halves[0], gap, halves[1]])).save(buffer, "PNG")
    return buffer.getvalue()


def _hatched(where: BoolArray) -> BoolArray:
    """Return every fourth diagonal of an area."""
    rows, columns = np.indices(where.shape)
    return np.asarray(where & ((rows + columns) % 4 == 0))


def _reduced(half: ImageArray) -> ImageArray:
    image = Image.fromarray(half)
    image.thumbnail((_MAX_SIDE_PX, _MAX_SIDE_PX))
    return np.asarray(image)
