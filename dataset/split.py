"""Divide the pictures: `data/pictures.csv` -> `data/manifest.csv`, and remember where each was put.

    python -m dataset.split --pictures data/pictures.csv --out data/manifest.csv [--params params.yaml]

`sides.csv` and `versions.json` beside the manifest are the memory: pictures that are added later move none of those
that were there. `make data SPLIT=new` forgets it. What lies on another side than in the manifest before is named, and
that manifest and its memory are then kept in `kept/`.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from dataset.checks import named
from dataset.description import find_description
from dataset.manifest import SPLITS, Manifest, ManifestError
from dataset.outputs.replacing import alone
from dataset.params import SplitParams
from dataset.splitting.divide import Division, divide
from dataset.splitting.memory import COLUMNS, Memory, keep, merged
from dataset.splitting.versions import MIN_SHARED, Changes, Version, Versions, changes, on_another_side
from project.command import command
from project.params import ParamsError, add_params_option, read_section


def summarise_splits(table: pd.DataFrame) -> str:
    """Return a table of class x split, each cell 'pictures / groups', for people to read."""
    rows = {
        label: {split: _cell(members[members["split"] == split]) for split in SPLITS}
        for label, members in [*table.groupby("label"), ("all", table)]
    }
    cells = pd.DataFrame.from_dict(rows, orient="index", columns=list(SPLITS))
    return f"pictures / groups\n{cells.to_string()}\n"


def _cell(rows: pd.DataFrame) -> str:
    return f"{len(rows)} / {rows['group'].nunique()}"


def split(pictures: Manifest, out: Path, params: SplitParams) -> str:
    """Write the manifest to `out` and the memory beside it, and return for people what was done.

    pictures: `split` holds given sides, or ''. Raises ManifestError if they cannot be divided, and for a memory that
    is malformed.
    """
    data_dir = out.parent
    has_stated_groups = not _likeness(pictures.root)
    memory = Memory.read(data_dir, params)
    versions = memory.versions if memory else Versions.read(data_dir)
    division = divide(pictures.table, params, memory, has_stated_groups=has_stated_groups)
    manifest = Manifest(division.table, data_dir)
    changed = changes(memory.latest, pictures.table) if memory else None
    number = max(versions.newest, memory.newest if memory else 0) + 1
    later = versions.with_next(_version(manifest, params, number, division, changed))
    moved = _moved(out, division.table)
    told = [
        *_about_version(later, division, changed, is_other=versions.settings not in (None, params)),
        *_about_sides(division, changed, moved, is_other_data=bool(memory and not memory.is_same_data(pictures.table))),
    ]
    if (moved or memory is None) and (kept := keep(data_dir)):
        told.append(f"the sides of before are kept in {', '.join(map(str, kept))}")
    is_given = bool((pictures.table["split"] != "").any())
    _merged(memory, division, later, is_given=is_given, has_stated_groups=has_stated_groups).write(data_dir)
    manifest.write(out)
    return "".join(f"{line}\n" for line in told) + summarise_splits(division.table)


def _merged(
    memory: Memory | None, division: Division, versions: Versions, *, is_given: bool, has_stated_groups: bool
) -> Memory:
    """Return the memory with these pictures, those that are left out among them."""
    rows = pd.concat([division.table, division.left_out]).sort_values("path", ignore_index=True)
    if is_given or not has_stated_groups:
        rows["group"] = ""  # of no meaning the next time
    rows = rows[[column for column in COLUMNS if column in rows.columns]]
    folds = [division.folds[path] for path in rows["path"]]
    return merged(memory, rows, folds, versions, is_given=is_given)


def _version(
    manifest: Manifest, params: SplitParams, number: int, division: Division, changed: Changes | None
) -> Version:
    counts = {name: len(paths) for name, paths in changed._asdict().items()} if changed else {}
    known = {"left_out": tuple(division.left_out["path"]), "is_dealt_anew": division.is_dealt_anew}
    return Version.of(manifest, params, number).model_copy(update={**counts, **known})


def _about_version(
    versions: Versions, division: Division, changed: Changes | None, *, is_other: bool
) -> Iterator[str]:  # fmt: skip
    """Say which version of the data this is, what changed since the one before, and what was left out."""
    yield f"version {versions.newest} of the data: {len(division.table)} pictures"
    if is_other:
        yield "all pictures are divided anew, since the section split of params.yaml is another one"
    if changed and (told := changed.in_words()):
        yield f"since the version before: {told}"
    if paths := list(division.left_out["path"]):
        yield (
            f"{len(paths)} picture(s) are left out of training, validation and test, since they look like objects on "
            f"two sides: {named(paths)}. On either side they would be a leak. State the groups (GROUPS=), or split "
            "anew, which gives another test set: make data SPLIT=new"
        )


def _about_sides(
    division: Division, changed: Changes | None, moved: Sequence[str], *, is_other_data: bool
) -> Iterator[str]:  # fmt: skip
    """Say what keeps the side that it had before, and what does not. moved: paths on another side."""
    if is_other_data:
        yield (
            f"less than {MIN_SHARED:.0%} of the files are those of the version before, so these are other data: a file "
            "that was not there is new, whatever it is called"
        )
    if moved:
        yield f"{len(moved)} picture(s) are on another side than before: {named(moved)}"
    elif changed and changed.in_words() and not division.is_dealt_anew:
        yield "what was divided before keeps its side"


def _moved(out: Path, table: pd.DataFrame) -> list[str]:
    """Return the pictures that are on another side than in the manifest before, by path; none where there is none."""
    try:
        return on_another_side(Manifest.read(out).table, table)
    except ManifestError:
        return []


def _likeness(data_dir: Path) -> str:
    """Return what loading said of objects found by likeness, '' where they are stated."""
    description = find_description(data_dir)
    return description.likeness if description else ""


def _what_likeness_did(data_dir: Path) -> str:
    """Repeat what loading said of objects found by likeness: too large ones are why a class has too few."""
    likeness = _likeness(data_dir)
    return f"\n{likeness}" if likeness else ""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=Path, default=Path("data/pictures.csv"))
    parser.add_argument("--out", type=Path, default=Path("data/manifest.csv"))
    add_params_option(parser)


@command(_arguments, known=(ManifestError,), speaker="error")
def main(args: argparse.Namespace) -> None:
    with alone(args.out.parent):  # what `make data SPLIT=new` forgets meanwhile would be written again
        try:
            params = read_section(args.params, "split", SplitParams)
            told = split(Manifest.read(args.pictures), args.out, params)
        except (ManifestError, ParamsError) as exc:
            raise ManifestError(f"{exc}{_what_likeness_did(args.pictures.parent)}") from exc
    sys.stdout.write(told)


if __name__ == "__main__":
    sys.exit(main())
