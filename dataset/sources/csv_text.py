"""Read the CSV files that spreadsheets write: text of any of their encodings, cells of any of their separators."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset.manifest import ManifestError
from dataset.readable_name import readable

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_WINDOWS = "cp1252"
_NOT_CSV = (
    (b"PK\x03\x04", "a workbook (.xlsx or .ods)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "compressed"),
)
_SAVE_AS = "Save it as 'CSV UTF-8 (comma delimited)'"
_SEP_LINE = re.compile(r'"?sep=(.)"?[,;\t]*', re.IGNORECASE)
# How a spreadsheet is made to leave a text alone: ="007".
_TEXT_FORMULA = re.compile(r'="(.*)"')


@dataclass(frozen=True, slots=True)
class CsvText:
    """The text of a CSV file, and how it was read.

    text: without byte-order mark and `sep=` line. first_line: the number of its first line in the file. separator: the
    one that a `sep=` line states, or ''. is_guessed: it is no UTF-8 and was read as Windows-1252.
    """

    text: str
    first_line: int
    separator: str
    is_guessed: bool


def read_csv_text(path: Path, header: str = "path,group") -> CsvText:
    """Read a file as text. header: what its first line must be.

    Raises ManifestError, with the true reason, if it cannot be read or is no CSV.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ManifestError(f"cannot read {readable(str(path))}: {exc.strerror}") from exc
    for start, what in _NOT_CSV:
        if data.startswith(start):
            raise ManifestError(f"{readable(str(path))} is no CSV but {what}. {_SAVE_AS}")
    text, is_guessed = _decode(data, path)
    if not text.strip():
        raise ManifestError(f"{readable(str(path))} is empty. Its first line must be {header}")
    first, _, rest = text.partition("\n")
    if match := _SEP_LINE.fullmatch(first.rstrip("\r")):
        return CsvText(rest, 2, match[1], is_guessed)
    return CsvText(text, 1, "", is_guessed)


def _decode(data: bytes, path: Path) -> tuple[str, bool]:
    """Return the text, its lines ended as in the file, and whether the encoding was guessed."""
    mark, encoding = next((pair for pair in _BOMS if data.startswith(pair[0])), (b"", _without_mark(data)))
    body = data[len(mark) :]
    try:
        return _one_kind_of_line_end(body.decode(encoding)), False
    except UnicodeDecodeError as exc:
        line = _one_kind_of_line_end(body[: exc.start].decode(encoding, "replace")).count("\n") + 1
        problem = f"{readable(str(path))}, line {line} is not {encoding.upper()}"
        if mark:
            raise ManifestError(f"{problem}, as its first bytes say it is. {_SAVE_AS}") from exc
    try:
        return _one_kind_of_line_end(data.decode(_WINDOWS)), True
    except UnicodeDecodeError as exc:
        raise ManifestError(f"{problem}, nor is it Windows-1252. {_SAVE_AS}") from exc


def _without_mark(data: bytes) -> str:
    """Return the encoding of text without a byte-order mark: ASCII in UTF-16 has a zero in every other byte."""
    head = data[:200]
    if len(head) >= 4 and head[1::2].count(0) > len(head) // 3:
        return "utf-16-le"
    if len(head) >= 4 and head[::2].count(0) > len(head) // 3:
        return "utf-16-be"
    return "utf-8"


def _one_kind_of_line_end(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def rows_of(source: CsvText, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line and the cells of every row that has any, without spaces around them.

    Raises ManifestError with the line for quotes that are not closed and for characters that no text has.
    """
    # A file of lines that ends every row with a quote that is not there would swallow the rest: strict refuses it.
    reader = csv.reader(io.StringIO(source.text), delimiter=separator, skipinitialspace=separator != "\t", strict=True)
    line = source.first_line
    try:
        for cells in reader:
            start, line = line, source.first_line + reader.line_num
            if any("\0" in cell for cell in cells):
                raise ManifestError(f"{readable(str(path))}, line {start} holds a zero byte: it is no text. {_SAVE_AS}")
            values = [_plain(cell) for cell in cells]
            if any(values):
                yield start, values
    except csv.Error as exc:
        raise ManifestError(f"{readable(str(path))}, line {line}: {_reason(exc)}") from exc


def by_column(cells: Sequence[str], columns: Sequence[str], place: str) -> dict[str, str]:
    """Return the cell of each named column, '' where the row has none. place: `groups.csv, line 3`.

    columns: their names, '' for one without. Raises ManifestError for a cell that is in none of them.
    """
    values = dict.fromkeys(filter(None, columns), "")
    for index, cell in enumerate(cells):
        name = columns[index] if index < len(columns) else ""
        if cell and not name:
            raise ManifestError(
                f"{place} has {cell!r} in column {index + 1}, which has no name in the header: a cell that holds the "
                "separator must be quoted"
            )
        if name:
            values[name] = cell
    return values


def _plain(cell: str) -> str:
    text = cell.strip()
    match = _TEXT_FORMULA.fullmatch(text)
    return match[1] if match else text


def _reason(problem: csv.Error) -> str:
    if "unexpected end" in str(problem):
        return "a quote is opened and never closed"
    if "field larger" in str(problem):
        return "a cell is longer than 131,072 characters: is a quote not closed?"
    return f"{problem}: a quote within a quoted cell must be doubled"
