"""Read a CSV that names pictures and the label of each, by its columns' names."""

import logging
from pathlib import Path

from dataset.manifest import ManifestError
from dataset.readable_name import readable
from dataset.sources.csv_text import CsvText, by_column, read_csv_text, rows_of
from dataset.sources.lists.listed_pictures import ListedRow, place_of

_SEPARATORS = (",", ";", "\t", "|")
# What each column may be called, in any case.
_NAMES = {
    "path": ("path", "file", "file_name", "filename", "filepath", "file_path", "image", "image_path"),
    "label": ("label", "class", "class_name", "category"),
    "group": ("group", "object"),
    "split": ("split", "subset"),
}
_NEEDED = "path,label"

logger = logging.getLogger(__name__)


def read_labels_csv(path: Path) -> list[ListedRow]:
    """Return the rows of the file. Columns that have no meaning here become attributes.

    Raises ManifestError, with the line, for a file that cannot be read, has no column for paths or labels, or several,
    and for a cell without a column.
    """
    source = read_csv_text(path, _NEEDED)
    if source.is_guessed:
        logger.warning("%s is not UTF-8 and is read as Windows-1252", readable(str(path)))
    separator = _separator(source, path)
    table = rows_of(source, separator, path)
    line, header = next(table)
    columns = _columns(header, path, line)
    return [_row(cells, columns, place_of(path, line)) for line, cells in table]


def says_classes(path: Path) -> bool:
    """Tell whether a CSV has the column `file_name`, as lists of Hugging Face's `imagefolder`, and one of labels."""
    try:
        source = read_csv_text(path, "file_name,label")
        _, header = next(rows_of(source, _separator(source, path), path))
    except ManifestError:
        return False
    return "file_name" in header and "label" in map(_meaning, header)


def _separator(source: CsvText, path: Path) -> str:
    """Return the stated separator, else the first under which the header has both columns, else the widest."""
    if source.separator:
        return source.separator
    widths: dict[str, tuple[bool, int]] = {}
    for separator in _SEPARATORS:
        try:
            _, header = next(rows_of(source, separator, path))
        except ManifestError:
            continue
        known = [_meaning(name) for name in header]
        widths[separator] = ("path" in known and "label" in known, len(header))
    return max(widths, key=widths.__getitem__, default=",")


def _meaning(name: str) -> str:
    return next((meaning for meaning, names in _NAMES.items() if name.casefold() in names), name)


def _columns(header: list[str], path: Path, line: int) -> list[str]:
    columns = [_meaning(name) for name in header]
    place = place_of(path, line)
    for meaning in ("path", "label"):
        if meaning not in columns:
            raise ManifestError(
                f"{place} has no column for the {meaning}, which is called {', '.join(_NAMES[meaning])}; it has "
                f"{', '.join(filter(None, header))}. Write the columns' names into the first line: {_NEEDED}"
            )
    if doubles := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise ManifestError(f"{place} has several columns for {', '.join(doubles)}: {', '.join(header)}. Leave one")
    return columns


def _row(cells: list[str], columns: list[str], place: str) -> ListedRow:
    values = by_column(cells, columns, place)
    attributes = {name: text for name, text in values.items() if name not in _NAMES}
    path, label, group, split = (values.get(name, "") for name in ("path", "label", "group", "split"))
    return ListedRow(place, path, label, group, split, attributes=attributes)
