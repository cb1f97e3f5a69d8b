"""Directories of a TIFF: which tags a picture has and where their values lie, read without trusting any of them.

TIFF 6.0, section 2, and BigTIFF. Only tags that are asked for are looked at, so a damaged one that the pixels do not
need is passed over. No directory is followed twice and nothing is read that the bytes do not hold.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.formats.tiff_file.errors import corrupt
from runtime.model.errors import ImageError

SUB_DIRECTORIES = 330
_MAX_DIRECTORIES = 16  # looked at in a row or below one: a raw file of a camera has up to six
_RATIONAL = "V8"  # two numbers
# Per type of field: the NumPy type of a value.
_TYPES = {
    1: "u1",
    2: "u1",
    3: "u2",
    4: "u4",
    5: _RATIONAL,
    6: "i1",
    7: "u1",
    8: "i2",
    9: "i4",
    10: _RATIONAL,
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}


@dataclass(frozen=True, slots=True)
class _Variant:
    """Classic TIFF or BigTIFF in one byte order: how wide the numbers of a directory are."""

    order: str
    first_at: int
    num_entries: str
    entry: np.dtype[np.void]
    pointer: str

    @property
    def value_at(self) -> int:
        return self.entry.itemsize - np.dtype(self.pointer).itemsize


class Directory:
    """The tags of one picture of a file."""

    def __init__(self, data: bytes, variant: _Variant, at: int) -> None:
        self._data, self._variant = data, variant
        start = at + np.dtype(variant.num_entries).itemsize
        if at < 8 or start > len(data):
            raise corrupt("a directory lies outside of the file")
        count = _number(data, at, variant.num_entries)
        room = (len(data) - start) // variant.entry.itemsize
        if not 0 < count <= room:
            raise corrupt("a directory is cut off or empty")
        entries = np.frombuffer(data, variant.entry, count, start)
        self._rows = dict(zip(entries["tag"][::-1].tolist(), range(count - 1, -1, -1), strict=True))  # the first wins
        self._entries, self._start = entries, start
        end = start + count * variant.entry.itemsize
        has_next = end + np.dtype(variant.pointer).itemsize <= len(data)
        self.next = _number(data, end, variant.pointer) if has_next else 0

    @property
    def order(self) -> str:
        """Return `<` or `>`, as NumPy names byte orders."""
        return self._variant.order

    def __contains__(self, tag: int) -> bool:
        return tag in self._rows

    def values(self, tag: int) -> NDArray[Any] | None:
        """Return the numbers of a tag, in native byte order; None if it is absent.

        Raises ImageError if it is there and damaged, or holds no numbers.
        """
        if tag not in self:
            return None
        found = self._place(tag)
        if found is None or found[0] == _RATIONAL:
            raise corrupt(f"the tag {tag} is damaged")
        kind, count, at = found
        values = np.frombuffer(self._data, self.order + kind, count, at)
        return values.astype(values.dtype.newbyteorder("="))

    def number(self, tag: int, default: int) -> int:
        """Return the first whole number of a tag, `default` if it is absent. Raises ImageError as `values` does."""
        values = self.values(tag)
        if values is None:
            return default
        if values.dtype.kind == "f":
            raise corrupt(f"the tag {tag} is damaged")
        return int(values[0])

    def fractions(self, tag: int) -> list[float]:
        """Return the numbers of a tag of unsigned rationals, none if it is absent. Raises ImageError as `values`."""
        found = self._place(tag)
        if tag not in self:
            return []
        if found is None or found[0] != _RATIONAL:
            raise corrupt(f"the tag {tag} is damaged")
        over, under = np.frombuffer(self._data, self.order + "u4", 2 * found[1], found[2]).reshape(-1, 2).T
        if not under.all():
            raise corrupt(f"the tag {tag} divides by zero")
        numbers: list[float] = (over / under).tolist()
        return numbers

    def metadata(self, tag: int) -> bytes:
        """Return the bytes of a tag that says nothing of the pixels' layout; none if it is absent or damaged."""
        found = self._place(tag)
        return b"" if found is None else self._data[found[2] : found[2] + found[1] * np.dtype(found[0]).itemsize]

    def _place(self, tag: int) -> tuple[str, int, int] | None:
        """Return the NumPy type, the count and the offset of a tag's values, if all of them are there."""
        row = self._rows.get(tag)
        if row is None:
            return None
        entry = self._entries[row]
        kind, count = _TYPES.get(int(entry["type"])), int(entry["count"])
        if kind is None or not count:
            return None
        num_bytes = count * np.dtype(kind).itemsize
        at = self._start + row * self._variant.entry.itemsize + self._variant.value_at
        if num_bytes > np.dtype(self._variant.pointer).itemsize:
            at = _number(self._data, at, self._variant.pointer)
        return (kind, count, at) if at + num_bytes <= len(self._data) else None


def read_directories(data: bytes) -> list[Directory]:
    """Return the first directory, those that follow it and those below it, in this order and at most a few.

    Raises ImageError if the first one cannot be read; others that cannot are left out.
    """
    variant = _variant(data)
    first = Directory(data, variant, _number(data, variant.first_at, variant.pointer))
    directories, seen = [first], {_number(data, variant.first_at, variant.pointer), 0}
    last = first
    while last.next not in seen and len(directories) < _MAX_DIRECTORIES:
        seen.add(last.next)
        try:
            last = Directory(data, variant, last.next)
        except ImageError:
            break
        directories.append(last)
    for at in _below(first):
        if at not in seen:
            seen.add(at)
            try:
                directories.append(Directory(data, variant, at))
            except ImageError:
                continue
    return directories


def _below(directory: Directory) -> list[int]:
    try:
        places = directory.values(SUB_DIRECTORIES)
    except ImageError:
        return []
    return [] if places is None else [int(at) for at in places[:_MAX_DIRECTORIES]]


def _variant(data: bytes) -> _Variant:
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    if len(data) < (16 if is_big else 8):
        raise corrupt("the header is cut off")
    count, pointer = (order + "u8",) * 2 if is_big else (order + "u4",) * 2
    entry = np.dtype([("tag", order + "u2"), ("type", order + "u2"), ("count", count), ("value", pointer)])
    return _Variant(order, 8 if is_big else 4, order + ("u8" if is_big else "u2"), entry, pointer)


def _number(data: bytes, at: int, kind: str) -> int:
    return int(np.frombuffer(data, kind, 1, at)[0])
