"""Where pictures to score are listed: a folder, a text file with one path a line, or a CSV with a column `path`.

Lists are read as a stream: a list of ten million pictures is never held in memory.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from dataset.sources.file_tree import is_image

CSV_SUFFIX = ".csv"


class ScoringError(ValueError):
    """Input, a plan or results that cannot be used; the message names the file and says what to do."""


def root_of(source: Path) -> Path:
    """Return the folder that listed paths are relative to: the source itself or the folder that holds the list."""
    return (source if source.is_dir() else source.parent).resolve()


def list_pictures(source: Path) -> Iterator[str]:
    """Yield the path of every picture, '/' separated and relative to `root_of(source)` unless the list has it absolute.

    A folder gives the files that `dataset.sources.file_tree.is_image` knows by suffix, in a fixed order, hidden ones
    left out, linked folders followed once; a list gives what it says, whether the file is there or not.
    Raises ScoringError if the source is not there, a CSV has no column `path`, or a path is empty or no UTF-8.
    """
    if source.is_dir():
        names = _below(source, "", set())
    elif source.suffix.lower() == CSV_SUFFIX:
        names = _rows(source)
    else:
        names = _lines(source)
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as exc:
            raise ScoringError(f"{source}: the file name {name!r} is not UTF-8; rename it") from exc
        yield name


def _below(folder: Path, prefix: str, seen: set[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in seen:  # a link back to a folder already walked
        return
    seen.add(real)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as exc:
        raise ScoringError(f"cannot list {folder}: {exc.strerror}") from exc
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _below(Path(entry.path), f"{prefix}{entry.name}/", seen)
        elif is_image(Path(entry.name)):
            yield f"{prefix}{entry.name}"


def _lines(source: Path) -> Iterator[str]:
    try:
        with source.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                name = line.rstrip("\r\n")
                if not name.strip():
                    raise ScoringError(f"{source}, line {number} is empty; every line is one path")
                yield name
    except (OSError, UnicodeDecodeError) as exc:
        raise ScoringError(f"cannot read the list {source}: {exc}") from exc


def _rows(source: Path) -> Iterator[str]:
    try:
        with source.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if "path" not in (rows.fieldnames or ()):
                raise ScoringError(
                    f"{source} has no column 'path', only {', '.join(rows.fieldnames or ()) or 'nothing'}"
                )
            for row in rows:
                if not row["path"]:
                    raise ScoringError(f"{source}, line {rows.line_num} has no path")
                yield row["path"]
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise ScoringError(f"cannot read the list {source}: {exc}") from exc
