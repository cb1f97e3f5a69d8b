"""Read `masks/classes.csv`, which says once for all masks of a folder what their values or colours mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.annotations import BACKGROUND, IGNORED, MAX_REGIONS
from dataset.checks import alike_but_for_case, named
from dataset.manifest import ManifestError
from dataset.masks.mask_file import Values, read_colours, read_numbers
from dataset.masks.soft_edges import MIDDLE, has_soft_edges
from dataset.masks.source_masks import Decoded, MaskError
from dataset.readable_name import readable
from dataset.sources.csv_text import read_csv_text, rows_of

CLASSES_CSV = "classes.csv"
BACKGROUND_NAME, IGNORED_NAME = "background", "ignored"
_NEEDED = "Its first line is value,name; the others name a value (0 to 65535) or a colour (#rrggbb) each"
_SEPARATORS = (",", ";", "\t", "|")
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,5}")
_LARGEST = 65535


@dataclass(frozen=True, slots=True)
class ClassMap:
    """What the values of index masks mean.

    names: the regions, sorted. numbers: of each value that the file names, the number in a mask that is read: 0,
    `i + 1` for `names[i]`, or 255. is_colour: values are 0xrrggbb.
    """

    names: tuple[str, ...]
    numbers: Mapping[int, int]
    is_colour: bool

    def read(self, data: bytes) -> Decoded:
        """Return the numbers of a mask's file.

        Where the class map names one region alone, by its white, values between may be edges that fade. Raises
        MaskError for values that have no name and for a file that is lossy, ImageError for one that cannot be decoded.
        """
        values = read_colours(data) if self.is_colour else read_numbers(data)
        numbers = np.full(values.shape, -1, dtype=np.int16)
        for value, number in self.numbers.items():
            numbers[values == value] = number
        if numbers.min() < 0 and self._is_binary(values) and has_soft_edges(values.astype(np.uint8)):
            return Decoded((values > MIDDLE).astype(np.uint8), has_soft_edges=True)
        if numbers.min() < 0:
            found, counts = np.unique(values[numbers < 0], return_counts=True)
            unknown = [f"{self._shown(v)} ({n} pixels)" for v, n in zip(found.tolist(), counts.tolist(), strict=True)]
            raise MaskError(f"it holds {named(unknown)}, which {CLASSES_CSV} does not name")
        return Decoded(numbers.astype(np.uint8))

    def _is_binary(self, values: Values) -> bool:
        """Tell whether the brightest of these values, up to 255, is the only one that is named beside background."""
        white = int(values.max())
        return not self.is_colour and white <= 255 and dict(self.numbers) == {0: BACKGROUND, white: 1}

    def _shown(self, value: int) -> str:
        return f"#{value:06x}" if self.is_colour else str(value)


def read_class_map(path: Path) -> ClassMap:
    """Read the file. Value 0, or black, is background unless the file names it otherwise.

    Raises ManifestError, with the line, for what is no such table.
    """
    source, shown = read_csv_text(path, "value,name"), readable(str(path))
    rows = list(rows_of(source, source.separator or _separator(source.text), path))
    line, header = rows[0]
    if [cell.casefold() for cell in header] != ["value", "name"]:
        raise ManifestError(f"{shown}, line {line} is {','.join(header)!r}. {_NEEDED}")
    named_at: dict[int, tuple[int, str]] = {}
    kinds: dict[bool, int] = {}
    for line, cells in rows[1:]:
        value, is_colour, name = _row(shown, line, cells)
        if value in named_at:
            raise ManifestError(f"{shown}: lines {named_at[value][0]} and {line} both name {cells[0]}")
        named_at[value] = line, name
        kinds.setdefault(is_colour, line)
    if len(kinds) > 1:
        lines = f"lines {kinds[False]} and {kinds[True]}"
        raise ManifestError(f"{shown}: {lines} name a value and a colour: use one of both")
    return _class_map(shown, {value: name for value, (_, name) in named_at.items()}, is_colour=True in kinds)


def _row(shown: str, line: int, cells: list[str]) -> tuple[int, bool, str]:
    """Return the value of a row, whether it is a colour, and its name."""
    cells = [cell for cell in cells if cell] if len(cells) > 2 else cells
    if len(cells) != 2 or not all(cells):
        raise ManifestError(f"{shown}, line {line} has not one value and one name. {_NEEDED}")
    text, name = cells
    if _COLOUR.fullmatch(text):
        return int(text[1:], 16), True, name
    if not _NUMBER.fullmatch(text) or int(text) > _LARGEST:
        raise ManifestError(f"{shown}, line {line}: {text!r} is no value. {_NEEDED}")
    if not name.isprintable():
        raise ManifestError(f"{shown}, line {line}: the name {readable(name)!r} holds a control character")
    return int(text), False, name


def _class_map(shown: str, name_of: Mapping[int, str], *, is_colour: bool) -> ClassMap:
    names = tuple(sorted({*name_of.values()} - {BACKGROUND_NAME, IGNORED_NAME}))
    if not names:
        raise ManifestError(f"{shown} names no region. {_NEEDED}")
    if len(names) > MAX_REGIONS:
        raise ManifestError(f"{shown} names {len(names)} regions; at most {MAX_REGIONS} are possible")
    alike = [name for name in names if name.casefold() in (BACKGROUND_NAME, IGNORED_NAME)]
    if alike := alike or alike_but_for_case(names):
        raise ManifestError(f"{shown} has names that differ in case alone: {named(alike)}. Write each in one way")
    number_of = {BACKGROUND_NAME: BACKGROUND, IGNORED_NAME: IGNORED} | {name: i for i, name in enumerate(names, 1)}
    numbers = {value: number_of[name] for value, name in name_of.items()}
    return ClassMap(names, {0: BACKGROUND} | numbers, is_colour)


def _separator(text: str) -> str:
    """Return the separator under which the header has two columns."""
    first = text.lstrip("\n").partition("\n")[0]
    return next((separator for separator in _SEPARATORS if separator in first), ",")
