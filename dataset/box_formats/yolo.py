"""Read boxes in YOLO's text: one file a picture, one box a line, as a class's number and shares of the picture."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dataset.box_formats.source_boxes import BoxError, SourceBox, StatedBoxes, check_numbers
from dataset.manifest import ManifestError
from dataset.readable_name import readable

CLASSES_TXT = "classes.txt"
DATA_YAML = "data.yaml"
_NUMBER = re.compile(r"\d{1,6}")
_SHARES = "centre x, centre y, width and height as shares of the picture"
_FORM = f"a line is the class's number, and {_SHARES}"


def read_names(root: Path, names_files: Sequence[str]) -> tuple[str, ...]:
    """Return the name of each class's number.

    names_files: those that are there, relative to `root`. Raises ManifestError if there are none, if they contradict,
    and for a file that is no list of names, with the line.
    """
    if not names_files:
        raise ManifestError(
            f"{readable(str(root))} holds images/ and labels/ with boxes of YOLO's, and nothing says what their "
            f"classes are called: write {CLASSES_TXT} beside them, one name a line, or names in {DATA_YAML}; if the "
            "folders at the top are classes as they are, say so with CLASSES=top (make data DATA=... CLASSES=top)"
        )
    found = {name: _names_of(root / name) for name in names_files}
    first = next(iter(found))
    for name, names in found.items():
        if names != found[first]:
            raise ManifestError(f"{readable(str(root))}: {first} and {name} name different classes: remove one of them")
    return found[first]


def _names_of(path: Path) -> tuple[str, ...]:
    shown = readable(str(path))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ManifestError(f"{shown} is not UTF-8 at byte {exc.start}") from exc
    except OSError as exc:
        raise ManifestError(f"cannot read {shown}: {exc.strerror}") from exc
    names = _names_in_yaml(shown, text) if path.name == DATA_YAML else [line.strip() for line in text.splitlines()]
    while names and not names[-1]:
        names.pop()
    for number, name in enumerate(names):
        where = f"{shown}, line {number + 1}" if path.name == CLASSES_TXT else f"{shown}, class {number}"
        if not name or not name.isprintable():
            raise ManifestError(f"{where}: {name!r} is no name")
        if name.casefold() in (other.casefold() for other in names[:number]):
            raise ManifestError(f"{where}: {name!r} is named twice, or differs from another in case alone")
    if not names:
        raise ManifestError(f"{shown} names no class")
    return tuple(names)


def _names_in_yaml(shown: str, text: str) -> list[str]:
    """Return the names, from a list or from numbers 0, 1, ... with names."""
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ManifestError(f"{shown} is no YAML: {exc}") from exc
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise ManifestError(f"{shown} has no names: they are a list, or 0: first, 1: second, ...")
    number = document.get("nc", len(names))
    if number != len(names):
        raise ManifestError(f"{shown} has {len(names)} names, and nc is {number}")
    return [str(name).strip() for name in names]


def parse_yolo(data: bytes, shown: str, names: Sequence[str], problems: list[str]) -> StatedBoxes:
    """Return the boxes of a file; what cannot be used is told in `problems`, with the line. shown: the file."""
    boxes = []
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        problems.append(f"{shown} (it is not UTF-8 at byte {exc.start})")
        lines = []
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            boxes.append(_box(text.split(), f"line {line}", names))
        except BoxError as exc:
            problems.append(f"{shown}, line {line} ({exc})")
    return StatedBoxes(shown, tuple(boxes), in_shares=True)


def _box(words: Sequence[str], place: str, names: Sequence[str]) -> SourceBox:
    if len(words) != 5:
        raise BoxError(f"it holds {len(words)} values: {_FORM}")
    if not _NUMBER.fullmatch(words[0]) or int(words[0]) >= len(names):
        raise BoxError(f"its class is {words[0]!r}, and {len(names)} are named, from 0 to {len(names) - 1}")
    x, y, width, height = check_numbers([_share(word) for word in words[1:]], _SHARES)
    if min(width, height) <= 0:
        raise BoxError(f"it has no area: its width and height are {width:g} and {height:g}")
    if max(x, y, width, height) > 2:  # far outside by any reading
        raise BoxError(f"it holds {max(x, y, width, height):g}, as if in pixels: {_FORM}")
    return SourceBox(names[int(words[0])], (x - width / 2, y - height / 2, x + width / 2, y + height / 2), place)


def _share(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word
