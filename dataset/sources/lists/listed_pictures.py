"""Match the rows of a list of pictures with the pictures of a folder, whatever file the list is in."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataset.box_formats.source_boxes import SourceBox
from dataset.checks import named
from dataset.manifest import SPLITS, ManifestError
from dataset.readable_name import readable
from dataset.sources.folder_words import split_role


@dataclass(frozen=True, slots=True)
class ListedRow:
    """One row of a list.

    place: `labels.csv, line 3`. path: as it is written. label: '' where the row states none. group, split: as written,
    or ''. boxes: None where the row states none, and else perhaps none at all.
    """

    place: str
    path: str
    label: str = ""
    group: str = ""
    split: str = ""
    boxes: tuple[SourceBox, ...] | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def side(self) -> str:
        """Return train, val or test for what is written, '' for nothing. Raises ManifestError for another word."""
        role = split_role(self.split) if self.split else None
        if role and role[0] in SPLITS:
            return role[0]
        if self.split:
            raise ManifestError(f"{self.place}: the split {self.split!r} is not one of {', '.join(SPLITS)}")
        return ""


def match_rows(
    rows: Iterable[ListedRow], find: Callable[[ListedRow], str | None], pictures: Sequence[str], what: str
) -> dict[str, ListedRow]:
    """Return the one row of every picture.

    find: the picture that a row means, None if there is none. what: `label`, or what else a row must have. Raises
    ManifestError, all together, for rows without a picture, pictures without a row, and pictures with several rows.
    """
    found: dict[str, list[ListedRow]] = {}
    absent, unlabelled = [], []
    for row in rows:
        if picture := find(row):
            found.setdefault(picture, []).append(row)
        else:
            absent.append(f"{row.path or 'no path'} ({row.place})")
        if not row.label and row.boxes is None:
            unlabelled.append(f"{row.path} ({row.place})")
    twice = {path: several for path, several in found.items() if len(several) > 1}
    many = [_places(path, several) for path, several in twice.items() if len({one.label for one in several}) > 1]
    same = [_places(path, several) for path, several in twice.items() if len({one.label for one in several}) == 1]
    without = [path for path in pictures if path not in found]
    problems = [
        f"{len(files)} {said}: {named([readable(file) for file in files])}. {advice}"
        for said, files, advice in (
            ("row(s) name no picture that is there", absent, "Correct or remove them"),
            (f"row(s) have no {what}", unlabelled, "Write one for each"),
            (
                "picture(s) have several labels", many,
                "A picture is of one class here, and models of several labels a picture (multi-label) are not made: "
                "leave one row for each",
            ),
            ("picture(s) have several rows", same, "Leave one for each"),
            ("picture(s) have no row", without, f"Add one with a {what} for each, or move them away"),
        )
        if files
    ]  # fmt: skip
    if problems:
        raise ManifestError(" ".join(problems))
    return {path: found[path][0] for path in pictures}


def _places(path: str, rows: Sequence[ListedRow]) -> str:
    return f"{path} ({' and '.join(f'{row.label!r} in {row.place}' for row in rows)})"


def place_of(path: Path, line: int) -> str:
    """Return what messages call a line of a file."""
    return f"{readable(str(path))}, line {line}"
