"""Leave out pictures that cannot be read, and classes of too few objects, if the user says so; list each by name.

Without a word both are refused. What is left out is written to `data/skipped.csv`; where more pictures cannot be read
than a message names, all are in `data/unreadable.csv`.
"""

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dataset.checks import NUM_NAMED, named, unreadable_message
from dataset.examine import Facts
from dataset.manifest import SPLITS, ManifestError
from dataset.outputs.originals import unread_message
from dataset.outputs.pipeline import LISTS, SKIPPED_CSV, UNREADABLE_CSV
from dataset.outputs.written import Written, hashes_of
from dataset.sources.folder_options import SkipName
from dataset.sources.source_picture import Collection, SourcePicture
from project.write_whole import whole_file

_COLUMNS = ("path", "label", "reason")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Skipped:
    """One picture that is left out: the user's file, its class and why."""

    path: str
    label: str
    reason: str


class Skipping:
    """What the user lets be left out, and what was."""

    def __init__(self, skip: Iterable[SkipName] = (), data_dir: Path | None = None) -> None:
        """Take what may be left out. data_dir: where lists are written; None writes none."""
        self._skip = frozenset(skip)
        self._data_dir = data_dir
        self._unreadable: list[Skipped] = []
        self._rare: list[Skipped] = []

    def readable(self, collection: Collection, facts: Sequence[Facts]) -> list[int]:
        """Return the positions of the pictures that can be decoded.

        Raises ManifestError for files that their disk does not give, whatever may be left out: it is not known whether
        they are good. Raises it for pictures that cannot be decoded, unless they may be left out and leave none of
        their classes without a picture.
        """
        pictures = collection.pictures
        broken = [_skipped(collection, pictures[at], fact.problem) for at, fact in enumerate(facts) if fact.problem]
        unread = [_skipped(collection, pictures[at], fact.unread) for at, fact in enumerate(facts) if fact.unread]
        emptied = _emptied(pictures, broken)
        messages = [unread_message({item.path: item.reason for item in unread})] if unread else []
        if emptied:
            messages.append(emptied)
        if broken and ("unreadable" not in self._skip or emptied):
            messages.append(unreadable_message({item.path: item.reason for item in broken}))
            if "unreadable" not in self._skip:
                messages[-1] += ", or leave them out: make data DATA=... SKIP=unreadable"
        if messages:
            raise ManifestError(". ".join([*messages, *self._list([*broken, *unread])]))
        self._unreadable = broken
        return [at for at, fact in enumerate(facts) if not fact.problem]

    def _list(self, unreadable: list[Skipped]) -> list[str]:
        """List all files where a message names only some; return the sentence that says where."""
        if self._data_dir is None or len(unreadable) <= NUM_NAMED:
            return []
        _write(self._data_dir / UNREADABLE_CSV, unreadable)
        return [f"All are listed in {self._data_dir / UNREADABLE_CSV}"]

    def without_rare(self, collection: Collection, table: pd.DataFrame) -> pd.DataFrame:
        """Return the table without classes of fewer objects than a split has sides, if they may be left out.

        table: manifest columns `path`, `label`, `group`. Raises ManifestError if fewer than two classes are left, or
        the normal class is not.
        """
        if "rare" not in self._skip:
            return table
        objects = table.groupby("label")["group"].nunique()
        rare = objects[objects < len(SPLITS)]
        kept = table[~table["label"].isin(rare.index)].reset_index(drop=True)
        told = ", ".join(f"{label} ({number} object(s))" for label, number in rare.items())
        if kept["label"].nunique() < 2:
            raise ManifestError(
                f"without the rare class(es) {told} fewer than 2 classes are left. Add pictures to them"
            )
        if collection.description.normal_class in rare.index:
            raise ManifestError(f"the normal class is rare and would be left out: {told}. Add pictures of more objects")
        by_path = {picture.path: picture for picture in collection.pictures}
        for path, label in table.loc[table["label"].isin(rare.index), ["path", "label"]].itertuples(index=False):
            reason = f"its class has {rare[label]} object(s), and a split needs {len(SPLITS)}"
            self._rare.append(_skipped(collection, by_path[path], reason))
        return kept

    def summary(self) -> str:
        """Return sentences for the description of the data, '' if nothing was left out."""
        classes = Counter(item.label for item in self._rare)
        parts = [f"{len(self._unreadable)} picture(s) that cannot be read"] if self._unreadable else []
        parts += [f"the rare class {label} ({number} picture(s))" for label, number in sorted(classes.items())]
        return f" Left out: {', '.join(parts)}." if parts else ""

    def write(self) -> None:
        """Write the list of what was left out, and remove lists of an earlier load that hold no more."""
        if self._data_dir is None:
            return
        skipped = [*self._unreadable, *self._rare]
        for name in LISTS:
            (self._data_dir / name).unlink(missing_ok=True)
        if not skipped:
            return
        _write(self._data_dir / SKIPPED_CSV, skipped)
        logger.warning(
            "left out: %d picture(s), each listed in %s: %s",
            len(skipped),
            self._data_dir / SKIPPED_CSV,
            named([f"{item.path} ({item.reason})" for item in skipped]),
        )


def _emptied(pictures: Sequence[SourcePicture], broken: Sequence[Skipped]) -> str:
    """Say which classes have no picture that can be read, and why most of theirs cannot; '' if each has one."""
    sizes = Counter(picture.label for picture in pictures)
    reasons: dict[str, Counter[str]] = {}
    for item in broken:
        reasons.setdefault(item.label, Counter())[item.reason] += 1
    empty = [
        f"{label} ({sizes[label]} picture(s); {counts.most_common(1)[0][0]})"
        for label, counts in sorted(reasons.items())
        if label and counts.total() == sizes[label]
    ]
    return f"no picture can be read of class(es) {named(empty)}" if empty else ""


def _file(collection: Collection, picture: SourcePicture) -> str:
    return str(collection.originals.get(picture.path, picture.path))


def _skipped(collection: Collection, picture: SourcePicture, reason: str) -> Skipped:
    return Skipped(_file(collection, picture), picture.label, reason)


def _write(path: Path, skipped: Sequence[Skipped]) -> None:
    with whole_file(path) as temporary:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows((item.path, item.label, item.reason) for item in skipped)
        # Noted before it is there, so that no list of ours is ever taken for a person's, whose list is never replaced.
        known = Written.read(path).files.get("", frozenset())
        Written({"": known | hashes_of(temporary, [""])[""]}).write(path)
