"""Read boxes in Pascal VOC's XML: one file a picture, with its size and one `object` a box.

Its `xmin`, `ymin`, `xmax` and `ymax` are pixels counted from 1, and both ends belong to the box: the left edge is
`xmin - 1`, the right one `xmax`.
"""

import math

from dataset.box_formats.source_boxes import BoxError, Corners, SourceBox, StatedBoxes
from dataset.box_formats.xml_tree import Element, read_xml

_SIDES = ("xmin", "ymin", "xmax", "ymax")


def parse_voc(data: bytes, shown: str, problems: list[str]) -> StatedBoxes:
    """Return the boxes of a file, those of difficult objects ignored.

    What cannot be used is told in `problems`, with the line. shown: the file.
    """
    try:
        root = read_xml(data)
    except BoxError as exc:
        problems.append(f"{shown}, {exc}")
        return StatedBoxes(shown, ())
    if root.tag != "annotation":
        problems.append(f"{shown}, line {root.line} (it is <{root.tag}>, and Pascal VOC's files are <annotation>)")
        return StatedBoxes(shown, ())
    boxes = []
    for element in root.children:
        if element.tag != "object":
            continue
        try:
            boxes.append(_box(element))
        except BoxError as exc:
            problems.append(f"{shown}, line {element.line} ({exc})")
    size_element = root.find("size")
    try:
        size = None if size_element is None else _size(size_element)
    except BoxError as exc:
        problems.append(f"{shown}, line {root.line if size_element is None else size_element.line} ({exc})")
        size = None
    return StatedBoxes(shown, tuple(boxes), size, "" if size_element is None else f"line {size_element.line}")


def _box(element: Element) -> SourceBox:
    name = _text(element, "name")
    if not name or not name.isprintable():
        raise BoxError(f"its name is {name!r}")
    box = element.find("bndbox")
    if box is None:
        raise BoxError(f"{name} has no bndbox")
    left, top, right, bottom = (_number(box, side) for side in _SIDES)
    if right < left or bottom < top:
        raise BoxError(f"{name} goes from {left:g}, {top:g} to {right:g}, {bottom:g}: the first are to be the smaller")
    corners: Corners = left - 1, top - 1, right, bottom
    return SourceBox(name, corners, f"line {element.line}", _text(element, "difficult") == "1")


def _size(element: Element) -> tuple[int, int]:
    width, height = _number(element, "width"), _number(element, "height")
    if width < 1 or height < 1 or not (width.is_integer() and height.is_integer()):
        raise BoxError(f"its size is {width:g} x {height:g}")
    return int(width), int(height)


def _text(element: Element, tag: str) -> str:
    child = element.find(tag)
    return "" if child is None else child.text.strip()


def _number(element: Element, tag: str) -> float:
    text = _text(element, tag)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BoxError(f"its {tag} is {text!r}" if text else f"it has no {tag}")
    return number
