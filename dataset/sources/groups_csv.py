"""Read the CSV that says which object each picture shows, as people and spreadsheets write it.

What can be read in one way alone is read; all else is refused with its line. Groups are text: `007` stays `007`.
"""

import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset.checks import named
from dataset.manifest import ManifestError
from dataset.readable_name import readable
from dataset.sources.csv_text import CsvText, by_column, read_csv_text, rows_of
from dataset.sources.group_paths import PictureNames

_COLUMNS = ("path", "group")
_SEPARATORS = (",", ";", "\t", "|")
_NEEDED = "Its first line must be path,group (further columns become attributes)"
_ROW_NEEDED = "It needs one row with a group for every picture"
# What spreadsheets write for a number that is too long for its cell, and for a formula that failed.
_SHORTENED = re.compile(r"-?\d(?:[.,]\d+)?E[+-]\d{2,3}|#{2,}")
_FAILED = frozenset({"#N/A", "#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!"})
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]0+)?")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    path: str
    group: str
    attributes: dict[str, str]


def read_groups(groups_csv: Path, root: Path, pictures: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the `path`, the `group` and the attributes of every picture.

    pictures: relative to `root`, as rows name them; what else is understood says `PictureNames.find`. Raises
    ManifestError, with lines, if the CSV cannot be read in one way alone or does not name each picture exactly once
    with a group.
    """
    source = read_csv_text(groups_csv)
    names = PictureNames(root, pictures)
    table = _Table(readable(str(groups_csv)), source)
    rows = table.rows(groups_csv, names)
    if source.is_guessed:
        logger.warning("%s is not UTF-8 and is read as Windows-1252", table.shown)
    found = _match(table, rows, names, root, pictures)
    check_groups((row.group, f"{table.shown}, line {row.line}") for row in rows)
    return {path: {**found[path].attributes, "path": path, "group": found[path].group} for path in pictures}


class _Table:
    """One CSV: which separator and columns it has, and its rows."""

    def __init__(self, shown: str, source: CsvText) -> None:
        self.shown = shown
        self.source = source

    def rows(self, path: Path, names: PictureNames) -> list[_Row]:
        """Return all rows but the header. Raises ManifestError for a header or a row that does not fit."""
        separator = self._separator(path)
        table = rows_of(self.source, separator, path)
        line, header = next(table)
        columns = self._columns(line, header, separator, names)
        return [self._row(line, cells, columns) for line, cells in table]

    def _separator(self, path: Path) -> str:
        """Return the separator under which the header has the columns; else the one that gives the most."""
        if self.source.separator:
            return self.source.separator
        widths = {}
        for separator in _SEPARATORS:
            try:
                _, header = next(rows_of(self.source, separator, path))
            except ManifestError:
                continue
            if set(_COLUMNS) <= set(map(str.casefold, header)):
                return separator
            widths[separator] = len(header)
        return max(widths, key=widths.__getitem__, default=",")

    def _columns(self, line: int, header: list[str], separator: str, names: PictureNames) -> list[str]:
        columns = [name.casefold() if name.casefold() in _COLUMNS else name for name in header]
        missing = [name for name in _COLUMNS if name not in columns]
        if missing and any(map(names.find, header)):
            raise ManifestError(f"{self.shown}, line {line} names a picture already: the header is missing. {_NEEDED}")
        if missing:
            stated = f" (line 1 says that '{separator}' separates)" if self.source.separator else ""
            raise ManifestError(
                f"{self.shown} has no column {' and '.join(missing)}; it has {', '.join(filter(None, columns))}"
                f"{stated}. {_NEEDED}"
            )
        doubles = sorted({name for name in columns if name and columns.count(name) > 1})
        if doubles:
            raise ManifestError(f"{self.shown}, line {line} has the column(s) {', '.join(doubles)} more than once")
        return columns

    def _row(self, line: int, cells: list[str], columns: list[str]) -> _Row:
        values = by_column(cells, columns, f"{self.shown}, line {line}")
        attributes = {name: text for name, text in values.items() if name not in _COLUMNS}
        return _Row(line, values["path"], values["group"], attributes)


def _match(
    table: _Table, rows: list[_Row], names: PictureNames, root: Path, pictures: Sequence[str]
) -> dict[str, _Row]:
    """Return the one row of every picture. Raises ManifestError for rows and pictures that have no counterpart."""
    found: dict[str, list[_Row]] = {}
    absent: list[str] = []
    no_picture: list[str] = []
    for row in rows:
        if picture := names.find(row.path):
            found.setdefault(picture, []).append(row)
        else:
            text = row.path.replace("\\", "/")
            is_there = bool(text) and "\0" not in text and len(text) < 4096 and (root / text).is_file()
            (no_picture if is_there else absent).append(f"{row.path or 'no path'} (line {row.line})")
    guessed = "; it is not UTF-8 and was read as Windows-1252" if table.source.is_guessed else ""
    like = f". Paths are relative to {readable(str(root))}, like {pictures[0]}{guessed}" if pictures else guessed
    twice = [
        f"{path} (lines {' and '.join(str(row.line) for row in several)})"
        for path, several in sorted(found.items())
        if len(several) > 1
    ]
    empty = [f"{path} (line {several[0].line})" for path, several in found.items() if not several[0].group]
    for problem, files, advice in (
        ("names file(s) that do not exist", absent, like),
        ("names file(s) that are no pictures", no_picture, ". Remove their rows"),
        ("names file(s) more than once", twice, f". {_ROW_NEEDED}"),
        ("has no row for picture(s)", sorted(set(pictures) - set(found)), f". {_ROW_NEEDED}"),
        ("has no group for picture(s)", empty, f". {_ROW_NEEDED}"),
    ):
        if files:
            raise ManifestError(f"{table.shown} {problem}: {named([readable(file) for file in files])}{advice}")
    return {path: several[0] for path, several in found.items()}


def check_groups(stated: Iterable[tuple[str, str]]) -> None:
    """Refuse groups that a spreadsheet changed, and different texts that likely mean one object.

    stated: each group with its place, `groups.csv, line 3`. Raises ManifestError.
    """
    place_of: dict[str, str] = {}
    for group, place in stated:
        if _SHORTENED.fullmatch(group) or group in _FAILED:
            raise ManifestError(
                f"{place}: the group {group!r} is what a spreadsheet wrote instead of the value, so different objects "
                "may have become one. Format that column as text and save the file again"
            )
        place_of.setdefault(group, place)
    _refuse_alike(place_of)


def _refuse_alike(place_of: Mapping[str, str]) -> None:
    seen: dict[str, str] = {}
    by_case: dict[str, list[str]] = {}
    for group, place in place_of.items():
        key = _group_key(group)
        other = seen.setdefault(key, group)
        if other != group:
            raise ManifestError(
                f"the groups {_spelled(other)} ({place_of[other]}) and {_spelled(group)} ({place}) are likely one "
                "object written in two ways, which would put it on two sides of the split. Write it in one way; if "
                "they are two objects, give one another name"
            )
        by_case.setdefault(key.casefold(), []).append(f"{group} ({place})")
    alike = [" and ".join(sorted(names)) for names in by_case.values() if len(names) > 1]
    if alike:
        logger.warning("groups that differ in case alone are taken as different objects: %s", named(alike))


def _group_key(group: str) -> str:
    """Return what is the same of two texts that mean one object: number, Unicode form, spaces."""
    if _NUMBER.fullmatch(group):
        return str(int(re.split("[.,]", group)[0]))
    visible = "".join(one for one in unicodedata.normalize("NFC", group) if unicodedata.category(one) != "Cf")
    return " ".join(visible.split())


def _spelled(group: str) -> str:
    return repr(readable(group)) + ("" if group.isascii() else f" ({group.encode('unicode_escape').decode('ascii')})")
