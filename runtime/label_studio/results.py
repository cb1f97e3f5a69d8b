"""Write regions and classes as Label Studio's results, and its shares in percent as pixels and back.

A result is what a person or a model says by one control of the template. Sides are in percent of the upright picture.
"""

from typing import Any

from runtime.label_studio.brush_runs import MaskArray, encode_brush
from runtime.label_studio.template import Control

Corners = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels; pixel `i` covers `[i, i + 1)`."""
Result = dict[str, Any]
_DIGITS = 6  # of a pixel: percent and back are not exact beyond


def to_percent(corners: Corners, width: int, height: int) -> dict[str, float]:
    """Return a box as Label Studio has it: its left, top, width and height in percent of the picture's sides."""
    left, top, right, bottom = corners
    across, down = 100 / width, 100 / height
    return {
        "x": left * across,
        "y": top * down,
        "width": (right - left) * across,
        "height": (bottom - top) * down,
        "rotation": 0,
    }


def to_corners(x: float, y: float, box_width: float, box_height: float, width: int, height: int) -> Corners:
    """Return the corners, in pixels, of a box in percent; a millionth of a pixel is told.

    box_width, box_height: in percent as x and y are. width, height: of the picture in pixels.
    """
    return (
        round(x * width / 100, _DIGITS),
        round(y * height / 100, _DIGITS),
        round((x + box_width) * width / 100, _DIGITS),
        round((y + box_height) * height / 100, _DIGITS),
    )


def choice_result(control: Control, label: str, score: float | None = None) -> Result:
    """Return the result that a picture is of a class."""
    return _result(control, {"choices": [label]}, score)


def box_result(
    control: Control, label: str, corners: Corners, size: tuple[int, int], number: str, score: float | None = None
) -> Result:
    """Return the result that an object is in a box. size: width and height. number: its own within its task."""
    value = {**to_percent(corners, *size), "rectanglelabels": [label]}
    return {**_result(control, value, score), **_region(size, number)}


def brush_result(control: Control, label: str, mask: MaskArray, number: str, score: float | None = None) -> Result:
    """Return the result that pixels are of a region. mask: `(height, width)` bool, of the picture's size."""
    height, width = mask.shape
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": [label]}
    return {**_result(control, value, score), **_region((width, height), number)}


def _result(control: Control, value: dict[str, Any], score: float | None) -> Result:
    result = {"from_name": control.name, "to_name": control.to_name, "type": control.kind, "value": value}
    return result if score is None else {**result, "score": score}


def _region(size: tuple[int, int], number: str) -> Result:
    return {"id": number, "original_width": size[0], "original_height": size[1], "image_rotation": 0}
