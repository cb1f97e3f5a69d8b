"""Read Label Studio's JSON export: what each task shows, and what each annotator said of it.

What is wrong with a single answer does not end the reading: it is that answer's `problem`, so that one bad task does
not lose a thousand good ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.box_formats.source_boxes import BoxError, Corners, check_corners, check_numbers
from dataset.manifest import ManifestError
from dataset.masks.coco import read_json
from dataset.readable_name import readable
from runtime.label_studio.brush_runs import BrushError, MaskArray, decode_brush
from runtime.label_studio.results import to_corners
from runtime.label_studio.template import NOTHING

_REGION_KINDS = ("rectanglelabels", "brushlabels")
# What people may say beside, which labels nothing.
_BESIDE = frozenset({"textarea", "rating", "relation", "number", "datetime"})


@dataclass(frozen=True, slots=True)
class Region:
    """One region that an annotator drew. size: width and height of its picture.

    corners: of a box, in pixels; None of a brush. brush: bytes of a brush, checked; b'' of a box.
    """

    label: str
    size: tuple[int, int]
    corners: Corners | None = None
    brush: bytes = b""

    def mask(self) -> MaskArray:
        """Return `(height, width)` bool of a brush: the pixels that it marks."""
        return decode_brush(self.brush, *self.size)


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one annotator said of a task.

    choices: by the control's name, in their order. says_nothing: that there is nothing to mark. skipped: that the
    annotator did not answer. trusted: that it is marked as ground truth. problem: why it cannot be used, or ''.
    """

    number: int
    annotator: str
    choices: Mapping[str, tuple[str, ...]]
    says_nothing: bool
    regions: tuple[Region, ...]
    skipped: bool = False
    trusted: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LabelTask:
    """One task. data: what it shows, its picture's address among it."""

    number: int
    data: Mapping[str, Any]
    annotations: tuple[Annotation, ...]


class _AnswerError(ValueError):
    """An answer that cannot be used; the message says why."""


def read_export(path: Path) -> list[LabelTask]:
    """Return the tasks of a JSON export, in order. Raises ManifestError for a file that is none."""
    document = read_json(path)
    shown = readable(str(path))
    if not is_export(document):
        raise ManifestError(
            f"{shown} is no JSON export of Label Studio's: that is a list of tasks with `id`, `data` and "
            "`annotations`. Export again and choose JSON (not JSON-MIN, CSV or COCO)"
        )
    tasks = [_task(entry) for entry in document]
    numbers = [task.number for task in tasks]
    if len(set(numbers)) < len(numbers):
        raise ManifestError(f"{shown} holds tasks of the same id: exports of two projects cannot be joined in one file")
    return tasks


def is_export(document: Any) -> bool:
    """Tell whether what a JSON file holds is a list of Label Studio's tasks, and not an empty one."""
    return (
        isinstance(document, list)
        and bool(document)
        and all(
            isinstance(entry, dict)
            and isinstance(entry.get("id"), int)
            and isinstance(entry.get("data"), dict)
            and isinstance(entry.get("annotations"), list)
            and all(isinstance(one, dict) for one in entry["annotations"])
            for entry in document
        )
    )


def _task(entry: Mapping[str, Any]) -> LabelTask:
    return LabelTask(entry["id"], entry["data"], tuple(map(_annotation, entry["annotations"])))


def _annotation(entry: Mapping[str, Any]) -> Annotation:
    number = entry["id"] if isinstance(entry.get("id"), int) else 0
    choices: dict[str, tuple[str, ...]] = {}
    regions: list[Region] = []
    problem = ""
    try:
        for result in entry.get("result") or []:
            _take(result, choices, regions)
        if len(sizes := {region.size for region in regions}) > 1:
            raise _AnswerError(f"its regions are of pictures of different sizes: {sorted(sizes)}")
    except _AnswerError as exc:
        problem = str(exc)
    return Annotation(
        number,
        _annotator(entry.get("completed_by")),
        {name: said for name, said in choices.items() if name != NOTHING},
        bool(choices.get(NOTHING)),
        tuple(regions),
        skipped=bool(entry.get("was_cancelled")),
        trusted=bool(entry.get("ground_truth")),
        problem=problem,
    )


def _annotator(value: object) -> str:
    """Return who answered: an address where the export names it, else the number."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return "" if value is None else str(value)


def _take(result: Any, choices: dict[str, tuple[str, ...]], regions: list[Region]) -> None:
    """Add one result to the choices or the regions. Raises _AnswerError."""
    kind = result.get("type") if isinstance(result, dict) else None
    if kind in _BESIDE:
        return
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict) or kind not in ("choices", *_REGION_KINDS):
        raise _AnswerError(f"a result of the type {kind!r} is not read, but {', '.join(('choices', *_REGION_KINDS))}")
    said = value.get(kind)
    if not isinstance(said, list) or not said or not all(isinstance(one, str) and one.strip() for one in said):
        raise _AnswerError(f"a result of the type {kind} has no label")
    if kind == "choices":
        name = str(result.get("from_name"))
        if name in choices:
            raise _AnswerError(f"several results of the control {name}")
        choices[name] = tuple(one.strip() for one in said)
        return
    if len(said) > 1:
        raise _AnswerError(f"a region has several labels: {', '.join(said)}")
    regions.append(_region(said[0].strip(), kind, result, value))


def _region(label: str, kind: str, result: Mapping[str, Any], value: Mapping[str, Any]) -> Region:
    width, height = result.get("original_width"), result.get("original_height")
    if type(width) is not int or type(height) is not int or min(width, height) < 1:
        raise _AnswerError(f"the size of the picture of a region is {width} x {height}")
    if result.get("image_rotation"):
        raise _AnswerError(f"its picture was turned by {result['image_rotation']} degrees while it was labelled")
    try:
        if kind == "rectanglelabels":
            return Region(label, (width, height), corners=_corners(value, width, height))
        brush = _brush(value)
        if not decode_brush(brush, width, height).any():
            raise _AnswerError(f"a brush of {label} covers no pixel")
        return Region(label, (width, height), brush=bytes(brush))
    except (BrushError, BoxError) as exc:
        raise _AnswerError(f"a region of {label}: {exc}") from exc


def _brush(value: Mapping[str, Any]) -> Any:
    if value.get("format") != "rle":
        raise BrushError(f"a brush in the form {value.get('format')!r} is not read, but rle")
    return value.get("rle")


def _corners(value: Mapping[str, Any], width: int, height: int) -> Corners:
    if value.get("rotation"):
        raise BoxError(f"a box turned by {value['rotation']} degrees is not read: draw it upright")
    numbers = check_numbers([value.get(key) for key in ("x", "y", "width", "height")], "x, y, width and height")
    return check_corners(to_corners(*numbers, width, height), width, height)
