"""What every folder of a user's has: a description by its name, and objects from a groups CSV."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dataset.description import DataDescription
from dataset.readable_name import readable
from dataset.sources.groups_csv import read_groups

NORMAL = "good"  # class of pictures whose mask says it and marks nothing, where no other is stated


class Row(NamedTuple):
    """What a groups CSV says of one picture. group: '' without a CSV."""

    group: str
    attributes: dict[str, str]


def listed(root: Path, pictures: Sequence[str], groups_csv: Path | None) -> dict[str, Row]:
    """Return what the CSV says of every picture, in order. pictures: relative to `root`. Raises ManifestError."""
    if groups_csv is None:
        return {path: Row("", {}) for path in pictures}
    facts = read_groups(groups_csv, root, pictures)
    return {
        path: Row(
            facts[path]["group"], {name: text for name, text in facts[path].items() if name not in ("path", "group")}
        )
        for path in pictures
    }


def describe(root: Path, how: str, groups_csv: Path | None, normal_class: str) -> DataDescription:
    """Return the description of the folder `root`. how: where the class of a picture is said."""
    name = readable(root.resolve().name)
    return DataDescription(
        name=name,
        title=name,
        summary=f"Pictures from the folder {name}, {how}.",
        group_meaning=(
            "object named in the groups file" if groups_csv else "near-duplicate pictures (found, not stated)"
        ),
        normal_class=normal_class,
    )
