"""Remember on which side of the split every picture was put, so that pictures added later move none of them.

`sides.csv` beside the manifest has a row for every file that was ever divided with the present settings, also of those
that are gone: one that comes back goes where it was. A file is known by its SHA-256, whatever it is called.
"""

import itertools
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset.manifest import SPLITS, Manifest, ManifestError
from dataset.outputs.written import KEPT_DIR
from dataset.params import SplitParams
from dataset.splits import FoldArray, assign_splits, deal_folds, sorted_by_path
from dataset.splitting.versions import Version, Versions, are_same_data
from project.write_whole import write_whole

SIDES_CSV = "sides.csv"
COLUMNS = ["path", "sha256", "label", "group", "split", "split_by_image", "fold", "version", "given"]
_NEW = "split anew: make data SPLIT=new"

TextArray = npt.NDArray[np.object_]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recalled:
    """What memory says of each of N pictures.

    sides, by_image: train, val, test or ''. folds: numbers, -1 where none is known. is_same_file: it was divided before
    as the file it is now, and not only under its name or as a picture of its object.
    """

    sides: TextArray
    by_image: TextArray
    folds: IntArray
    is_same_file: BoolArray


@dataclass(frozen=True)
class Memory:
    """Where pictures were put: a table of `COLUMNS`, and the versions of the data so far.

    `group` is a stated object's name, '' where likeness found it; `version` the last one that held the picture;
    `given` is 1 where its folder gave the side.
    """

    table: pd.DataFrame
    versions: Versions

    @property
    def newest(self) -> int:
        """The number of the last version that was put here, 0 where none was.

        A run that was killed may have numbered another one in `versions` already.
        """
        return int(self.table["version"].max()) if len(self.table) else 0

    @property
    def latest(self) -> pd.DataFrame:
        """The pictures of the last version."""
        return self.table[self.table["version"] == self.newest]

    def recall(self, pictures: pd.DataFrame, *, has_stated_groups: bool, is_given: bool | None = None) -> Recalled:
        """Look up each picture: by its file; else, in the same data, by its name, and by its object if that is stated.

        pictures: manifest columns `path`, `sha256`, `group`. is_given: looks only among sides that were given, or only
        among those that were not; None: among all.
        """
        table = self.table if is_given is None else self.table[self.table["given"] == int(is_given)]
        table = table.sort_values("version", kind="stable")
        places = [
            {key: at for at, key in enumerate(zip(table["path"], table["sha256"], strict=True))},
            {sha256: at for at, sha256 in enumerate(table["sha256"]) if sha256},
        ]
        is_same_data = self.is_same_data(pictures)
        by_path = _names_without_file(table, pictures) if is_same_data else {}
        stated = is_same_data and has_stated_groups
        by_group = {name: at for at, name in enumerate(table["group"]) if name} if stated else {}
        sides, by_image, folds = (table[name].to_numpy() for name in ("split", "split_by_image", "fold"))
        found = Recalled(*_nothing(len(pictures)))
        rows = zip(pictures["path"], pictures["sha256"], pictures["group"], strict=True)
        for row, (path, sha256, group) in enumerate(rows):
            at = places[0].get((path, sha256), places[1].get(sha256))
            found.is_same_file[row] = at is not None and sides[at] != ""
            at = by_path.get(path) if at is None else at
            if at is not None:
                found.by_image[row] = by_image[at]
            at = by_group.get(group) if at is None or sides[at] == "" else at
            if at is not None and sides[at]:
                found.sides[row], found.folds[row] = sides[at], folds[at]
        return found

    def is_same_data(self, pictures: pd.DataFrame) -> bool:
        """Tell whether enough pictures are files of the last version for their names and groups to mean the same."""
        files, before = set(pictures["sha256"]) - {""}, set(self.latest["sha256"]) - {""}
        return are_same_data(files, before)

    def write(self, data_dir: Path) -> None:
        """Write both files, each whole or not at all.

        Killed between them, what is remembered is the version before, with its settings: see `newest`.
        """
        self.versions.write(data_dir)
        write_whole(data_dir / SIDES_CSV, self.table.to_csv(index=False))

    @classmethod
    def read(cls, data_dir: Path, params: SplitParams) -> "Memory | None":
        """Read what is remembered in `data_dir`; None where nothing is, or only of other settings.

        Where `sides.csv` is missing, the manifest is remembered if it is of the newest version or, of an earlier
        release, if these settings explain its sides. Raises ManifestError for files that are malformed, with the line.
        """
        versions = Versions.read(data_dir)
        path = data_dir / SIDES_CSV
        if not path.is_file():
            return _of_manifest(data_dir, params, versions)
        memory = cls(_read_sides(path), versions)
        return memory if versions.settings_of(memory.newest) in (None, params) else None


def _nothing(number: int) -> tuple[TextArray, TextArray, IntArray, BoolArray]:
    return (
        np.full(number, "", dtype=object), np.full(number, "", dtype=object),
        np.full(number, -1, dtype=np.int64), np.zeros(number, dtype=bool),
    )  # fmt: skip


def _names_without_file(table: pd.DataFrame, pictures: pd.DataFrame) -> dict[str, int]:
    """Return name -> row of memory, of the names whose file is not among the pictures: another one has its name now."""
    files, present = table["sha256"].to_numpy(), set(pictures["sha256"])
    last = {path: at for at, path in enumerate(table["path"])}
    return {path: at for path, at in last.items() if files[at] not in present}


def _read_sides(path: Path) -> pd.DataFrame:
    """Read `sides.csv`. Raises ManifestError with the line of a side that is none."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False).fillna("")  # of a line that is too short
    except (OSError, ValueError) as exc:
        raise ManifestError(
            f"cannot read {path}, which says where pictures were put: {exc}. Repair it, or {_NEW}"
        ) from exc
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise ManifestError(f"{path} has no column {', '.join(missing)}. Repair it, or {_NEW}")
    for column, known in (("split", ["", *SPLITS]), ("split_by_image", ["", *SPLITS])):
        _refuse(path, table, column, table[column].isin(known), f"not one of {', '.join(SPLITS)}")
    for column in ("fold", "version", "given"):
        _refuse(path, table, column, table[column].str.fullmatch(r"-?\d{1,9}"), "no whole number")
    return table[COLUMNS].astype({"fold": int, "version": int, "given": int})


def _refuse(path: Path, table: pd.DataFrame, column: str, is_good: "pd.Series[bool]", what: str) -> None:
    wrong = np.flatnonzero(~is_good.to_numpy(dtype=bool))
    if len(wrong):
        value = table[column].iloc[wrong[0]]
        raise ManifestError(f"{path}, line {wrong[0] + 2}: {column} is {value!r}, {what}. Repair it, or {_NEW}")


def _of_manifest(data_dir: Path, params: SplitParams, versions: Versions) -> Memory | None:
    """Return the memory of a manifest beside which no `sides.csv` lies, None if it may be of other settings."""
    if versions.settings not in (None, params):
        return None
    try:
        table = sorted_by_path(Manifest.read(data_dir / "manifest.csv").table)
    except ManifestError:
        return None
    if _is_dealt_by(params, table):
        folds: FoldArray | int = deal_folds(table, params)
    elif versions.is_newest(Manifest(table, data_dir)):
        folds = -1  # those of pictures that came later are not known
    else:
        return None
    if not versions.newest:
        versions = Versions((Version.of(Manifest(table, data_dir), params, 1),))
    # Whether its groups were stated is not noted; those of likeness have other names the next time.
    return Memory(table.assign(fold=folds, version=versions.newest, given=0, group="")[COLUMNS], versions)


def _is_dealt_by(params: SplitParams, table: pd.DataFrame) -> bool:
    """Tell whether the sides of a table, sorted by path, are what these settings deal from nothing."""
    try:
        return assign_splits(table, params)["split"].equals(table["split"])
    except ManifestError:
        return False


def forget(data_dir: Path) -> list[Path]:
    """Move what says where pictures were put to `kept/`, so that all is divided anew; return the new places."""
    return [file.rename(place) for file, place in _places_to_keep(data_dir)]


def keep(data_dir: Path) -> list[Path]:
    """Copy what says where pictures were put to `kept/`, before it is replaced; return the copies."""
    return [Path(shutil.copy2(file, place)) for file, place in _places_to_keep(data_dir)]


def _places_to_keep(data_dir: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each file that says it with a place in `kept/` that is free."""
    for file in (data_dir / SIDES_CSV, data_dir / "manifest.csv"):
        if file.is_file():
            (kept := data_dir / KEPT_DIR).mkdir(exist_ok=True)
            stem = f"{file.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
            places = (kept / f"{stem}{f'-{n}' if n > 1 else ''}{file.suffix}" for n in itertools.count(1))
            yield file, next(place for place in places if not place.exists())


def merged(
    memory: Memory | None, divided: pd.DataFrame, folds: Sequence[int], versions: Versions, *, is_given: bool
) -> Memory:
    """Return the memory with these pictures, as they are divided now; what is gone stays.

    divided: `COLUMNS` but the last three, in the order of `folds`; `split` is '' of a picture that was left out.
    """
    now = divided.assign(fold=list(folds), version=versions.newest, given=int(is_given))[COLUMNS]
    if memory is None:
        return Memory(now, versions)
    # What was given and what was dealt here are remembered side by side: a folder may be taken in both ways.
    columns = ["path", "sha256", "given"]
    keys = set(now[columns].itertuples(index=False, name=None))
    is_gone = [key not in keys for key in memory.table[columns].itertuples(index=False, name=None)]
    table = pd.concat([memory.table[is_gone], now]).sort_values(["path", "version"], ignore_index=True, kind="stable")
    return Memory(table, versions)
