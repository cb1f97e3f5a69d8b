"""What is refused in pictures, groups and splits. Every error names the files and says what to do."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from dataset.manifest import SPLIT_COLUMNS, SPLITS, ManifestError, Protocol
from dataset.readable_name import readable

NUM_NAMED = 10
STATE_GROUPS = "state the groups in a CSV with the columns path,group (make data DATA=... GROUPS=groups.csv)"

MORE_OBJECTS = (
    "Add pictures of more objects, or leave rare classes out (make data DATA=... SKIP=rare). If objects were found by "
    f"likeness and hold pictures of different ones, {STATE_GROUPS} or raise data.near_duplicate_correlation in "
    "params.yaml"
)
_NEW_SPLIT = "Make the split again (python -m dataset.split), with pictures of more objects where a class has too few"


def alike_but_for_case(names: Sequence[str]) -> list[str]:
    """Return the names that differ from another one in case alone, in their order. names: each once."""
    numbers = Counter(name.casefold() for name in names)
    return [name for name in names if numbers[name.casefold()] > 1]


def named(items: Sequence[str]) -> str:
    """Join the first ten items for a message, each so that it can be read and written anywhere, and count the rest."""
    rest = len(items) - NUM_NAMED
    return ", ".join(map(readable, items[:NUM_NAMED])) + (f" and {rest} more" if rest > 0 else "")


def check_classes(num_pictures: Mapping[str, int], instead: Mapping[str, str] | None = None) -> None:
    """Refuse a class without pictures and fewer than two classes.

    num_pictures: number of pictures of every class folder, empty ones included. instead: what lies in a folder that
    has none, said behind its name. Raises ManifestError.
    """
    holds = instead or {}
    empty = sorted(label + holds.get(label, "") for label, number in num_pictures.items() if number == 0)
    if empty:
        raise ManifestError(f"class(es) without a picture: {named(empty)}. Add pictures or remove the folder(s)")
    if len(num_pictures) < 2:
        raise ManifestError(
            f"at least 2 classes are needed, got {len(num_pictures)}: {named(sorted(num_pictures)) or 'none'}. "
            "Each class is one folder of pictures: DATA/<class>/<picture>"
        )


def check_readable(problems: Mapping[str, str]) -> None:
    """Refuse pictures that could not be decoded.

    problems: file -> reason. Raises ManifestError naming the first ten and the count.
    """
    if problems:
        raise ManifestError(unreadable_message(problems))


def unreadable_message(problems: Mapping[str, str]) -> str:
    """Return the refusal of pictures that could not be decoded: file -> reason."""
    reasons = [f"{path} ({reason})" for path, reason in sorted(problems.items())]
    return f"{len(problems)} picture(s) cannot be read: {named(reasons)}. Repair or remove them"


def check_same_bytes(table: pd.DataFrame) -> None:
    """Refuse files with the same bytes under two labels, or in two groups that were stated.

    table: manifest columns `path`, `label`, `group`, `sha256`. Raises ManifestError.
    """
    for column, advice in (
        ("label", "Decide which label is right and remove the other file"),
        ("group", "They show one object: give both the same group"),
    ):
        clashes = [
            " and ".join(f"{row.path} ({column} {getattr(row, column)})" for row in rows.itertuples())
            for _, rows in table.groupby("sha256", sort=False)
            if rows[column].nunique() > 1
        ]
        if clashes:
            raise ManifestError(f"files with the same bytes but different {column}s: {named(clashes)}. {advice}")


def check_no_group_on_two_sides(table: pd.DataFrame) -> None:
    """Refuse a split that puts pictures of one group on two sides: the test would contain what was trained on.

    table: manifest columns `path`, `group`, `split`. Raises ManifestError.
    """
    sides = table.groupby("group")["split"].nunique()
    torn = sorted(sides[sides > 1].index)
    if torn:
        examples = table[table["group"] == torn[0]].drop_duplicates("split")
        where = ", ".join(f"{row.path} in {row.split}" for row in examples.itertuples())
        raise ManifestError(
            f"group(s) on two sides of the split: {named(torn)} ({where}). "
            "Make the split again: python -m dataset.split"
        )


def check_enough_objects(table: pd.DataFrame) -> None:
    """Refuse classes of fewer than three objects: training, validation and test each need one of their own.

    table: manifest columns `path`, `label`, `group`. Raises ManifestError naming each class, its objects and pictures.
    """
    few = [
        f"class {label} has {_objects(rows)}"
        for label, rows in table.groupby("label")
        if rows["group"].nunique() < len(SPLITS)
    ]
    if few:
        raise ManifestError(
            f"{'; '.join(few[:NUM_NAMED])}{_further(few, 'class')}. Training, validation and test each need at least "
            f"one object of every class. {MORE_OBJECTS}"
        )


def _objects(rows: pd.DataFrame) -> str:
    """Say how many pictures and objects a class has, and which; an object is a group."""
    groups = [f"{name} ({named(sorted(members['path']))})" for name, members in rows.groupby("group")]
    return f"{len(rows)} picture(s) of {len(groups)} object(s): {named(groups)}"


def _further(items: Sequence[str], what: str) -> str:
    rest = len(items) - NUM_NAMED
    return f"; and {rest} more {what}(es)" if rest > 0 else ""


def check_every_class_in_every_split(table: pd.DataFrame, protocol: Protocol = "group") -> None:
    """Refuse a split in which a class is missing from train, val or test.

    table: manifest columns `path`, `label`, `group` and the split column of `protocol`. Raises ManifestError.
    """
    column = SPLIT_COLUMNS[protocol]
    messages = []
    for label, rows in table.groupby("label"):
        missing = [split for split in SPLITS if split not in set(rows[column])]
        if missing:
            messages.append(f"class {label} is missing in {' and '.join(missing)}: it has {_objects(rows)}")
    if messages:
        raise ManifestError(
            f"{'; '.join(messages[:NUM_NAMED])}{_further(messages, 'class')}. Objects that show several classes at "
            f"once bind these together, so that not every class could be brought to every side. {MORE_OBJECTS}"
        )


def check_every_class_trains(table: pd.DataFrame, protocol: Protocol = "group") -> None:
    """Refuse a split in which a class has no training picture: nothing could be learned of it.

    table: manifest columns `label` and the split column of `protocol`. Raises ManifestError.
    """
    column = SPLIT_COLUMNS[protocol]
    trained = set(table.loc[table[column] == "train", "label"])
    absent = [
        f"{label} ({len(rows)} picture(s), in {' and '.join(sorted(set(rows[column]) - {''})) or 'no split'})"
        for label, rows in table.groupby("label")
        if label not in trained
    ]
    if absent:
        raise ManifestError(f"class(es) without a training picture: {named(absent)}. {_NEW_SPLIT}")


def check_validation_pictures(table: pd.DataFrame, protocol: Protocol = "group") -> None:
    """Refuse a split without validation pictures, by which the best epoch is chosen. Raises ManifestError."""
    if not (table[SPLIT_COLUMNS[protocol]] == "val").any():
        raise ManifestError(f"no validation picture: the best epoch could not be chosen. {_NEW_SPLIT}")
