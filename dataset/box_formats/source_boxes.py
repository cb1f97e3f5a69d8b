"""What a source's boxes have in common, whatever form they have in it, and what makes a box one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

OUTSIDE_PX = 1  # by which tools round a box at a picture's edge
_LEAST_PX = 0.0005  # of a side: less would be written as nothing

Corners = tuple[float, float, float, float]


class BoxError(ValueError):
    """A box that cannot be used; the message says why and does not name it."""


@dataclass(frozen=True, slots=True)
class SourceBox:
    """One box of a source.

    corners: left, top, right and bottom. place: where the user finds it in the file, `line 3`, or ''. ignored: nobody
    is asked to find it.
    """

    object: str
    corners: Corners
    place: str = ""
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class StatedBoxes:
    """The boxes that a source states of one picture.

    shown: what messages call their file. size: (width, height) that it says the picture has, None where it says none,
    and size_place where. in_shares: corners are shares of the picture's sides, and else pixels of the upright picture.
    """

    shown: str
    boxes: tuple[SourceBox, ...]
    size: tuple[int, int] | None = None
    size_place: str = ""
    in_shares: bool = False


def check_numbers(values: object, what: str) -> Corners:
    """Return four finite numbers. what: they are to be. Raises BoxError for anything else."""
    is_good = isinstance(values, Sequence) and len(values) == 4 and all(map(_is_number, values))
    if not is_good or isinstance(values, str):
        raise BoxError(f"a box has {what}, and this one {values!r}")
    first, second, third, fourth = (float(value) for value in values)  # type: ignore[attr-defined]
    return first, second, third, fourth


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_corners(corners: Corners, width: int, height: int) -> Corners:
    """Return a box cut off at the edges of its picture, in pixels.

    Raises BoxError for one without an area and for one that lies outside by more than `OUTSIDE_PX`.
    """
    left, top, right, bottom = corners
    if min(right - left, bottom - top) < _LEAST_PX:
        raise BoxError(f"it has no area: it is {right - left:g} x {bottom - top:g} pixels")
    for low, high, side, what in ((left, right, width, "x"), (top, bottom, height, "y")):
        if low < -OUTSIDE_PX or high > side + OUTSIDE_PX:
            raise BoxError(f"its {what} goes from {low:g} to {high:g}, and the picture is {width} x {height}")
    inside = max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)
    if min(inside[2] - inside[0], inside[3] - inside[1]) < _LEAST_PX:
        raise BoxError("all of it lies outside the picture")
    return inside
