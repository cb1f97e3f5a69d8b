"""Read the lists of Hugging Face's `imagefolder`: `metadata.csv` or `metadata.jsonl` beside the pictures they name.

A list lies at the top, or in each folder of a part (`train/metadata.jsonl`); `file_name` is relative to its folder. A
row has a `label`, or `objects` with `bbox` (left, top, width, height in pixels) and `categories`.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataset.box_formats.source_boxes import BoxError, SourceBox, check_numbers
from dataset.manifest import ManifestError
from dataset.outputs.originals import OriginalError, read_original, unread_message
from dataset.sources.lists.labels_csv import read_labels_csv, says_classes
from dataset.sources.lists.listed_pictures import ListedRow, place_of

_CSV, _JSONL = "metadata.csv", "metadata.jsonl"
_CATEGORIES = ("categories", "category", "labels", "label")
_LEAST = '{"file_name": "a.jpg", "label": "good"}'


def find_metadata(root: Path, files: Sequence[str]) -> list[str]:
    """Return the lists of a folder, relative to it, that say labels or objects; captions alone say no class.

    files: all of the folder.
    """
    found = [path for path in files if path.rpartition("/")[2] in (_CSV, _JSONL) and path.count("/") <= 2]
    return [path for path in found if (_says_classes if path.endswith(_JSONL) else says_classes)(root / path)]


def _says_classes(path: Path) -> bool:
    text = _read_text(path)
    return '"file_name"' in text and any(f'"{key}"' in text for key in ("label", "objects"))


def read_metadata(root: Path, lists: Sequence[str]) -> list[ListedRow]:
    """Return the rows of all lists, their paths relative to `root`. Raises ManifestError with file and line."""
    rows = []
    for name in lists:
        folder = name.rpartition("/")[0]
        read = read_labels_csv(root / name) if name.endswith(_CSV) else _read_jsonl(root / name)
        rows += [(folder, row) for row in read]
    return [_below(folder, row) for folder, row in rows]


def _below(folder: str, row: ListedRow) -> ListedRow:
    return replace(row, path=f"{folder}/{row.path}" if folder else row.path)


def _read_text(path: Path) -> str:
    try:
        return read_original(path).decode("utf-8-sig")
    except OriginalError as exc:
        raise ManifestError(unread_message({str(path): str(exc)})) from exc
    except UnicodeDecodeError as exc:
        raise ManifestError(f"{path} is not UTF-8 at byte {exc.start}") from exc


def _read_jsonl(path: Path) -> list[ListedRow]:
    lines = enumerate(_read_text(path).split("\n"), start=1)
    return [_row(line, place_of(path, number)) for number, line in lines if line.strip()]


def _row(text: str, place: str) -> ListedRow:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as exc:  # a number of thousands of digits is no JSONDecodeError
        raise ManifestError(f"{place} is no JSON: {exc}. Each line is one object, {_LEAST}") from exc
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str) or not entry["file_name"]:
        raise ManifestError(f"{place} has no file_name. Each line is one object, {_LEAST}")
    boxes = _boxes(entry["objects"], place) if entry.get("objects") is not None else None
    label, group, split = (_text(entry.get(key), key, place) for key in ("label", "group", "split"))
    others = {key: entry[key] for key in entry if key not in ("file_name", "objects", "label", "group", "split")}
    attributes = {key: str(value) for key, value in others.items() if isinstance(value, str | int | float)}
    return ListedRow(place, entry["file_name"], label, group, split, boxes, attributes)


def _text(value: Any, key: str, place: str) -> str:
    if isinstance(value, list):
        raise ManifestError(
            f"{place}: the {key} is a list. A picture is of one class here, and models of several labels a picture "
            "(multi-label) are not made: write one"
        )
    if value is not None and not isinstance(value, str | int):
        raise ManifestError(f"{place}: the {key} {value!r} is no text")
    return "" if value is None else str(value).strip()


def _boxes(objects: Any, place: str) -> tuple[SourceBox, ...]:
    names = next((objects[key] for key in _CATEGORIES if key in objects), None) if isinstance(objects, dict) else None
    corners = objects.get("bbox") if isinstance(objects, dict) else None
    if not isinstance(names, list) or not isinstance(corners, list) or len(names) != len(corners):
        raise ManifestError(f"{place}: objects must have bbox and categories, two lists of one length")
    boxes = []
    for name, values in zip(names, corners, strict=True):
        try:
            left, top, width, height = check_numbers(values, "left, top, width and height")
        except BoxError as exc:
            raise ManifestError(f"{place}: {exc}") from exc
        boxes.append(SourceBox(_text(name, "category", place), (left, top, left + width, top + height), ""))
    return tuple(boxes)
