"""Remember on which side of the split every picture was put, so that pictures added later move none of them.

`sides.csv` beside the manifest has a row for every file that was ever divided with the present settings, also of those
that are gone: one that comes back goes where it was. A file is known by its SHA-256, whatever it is called.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset.manifest import SPLITS, Manifest, ManifestError
from dataset.outputs.written import KEPT_DIR
from dataset.params import SplitParams
from dataset.splits import assign_splits, deal_folds
from dataset.splitting.versions import Version, Versions
from project.write_whole import write_whole

SIDES_CSV = "sides.csv"
COLUMNS = ["path", "sha256", "label", "group", "split", "split_by_image", "fold", "version", "given"]
MIN_SHARED = 0.1  # of the smaller set's files, from which on two sets are of the same data, as for the gate
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
    def latest(self) -> pd.DataFrame:
        """The pictures of the last version."""
        return self.table[self.table["version"] == self.versions.newest]

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
        is_same_data = self._is_same_data(pictures)
        by_path = {path: at for at, path in enumerate(table["path"])} if is_same_data else {}
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

    def _is_same_data(self, pictures: pd.DataFrame) -> bool:
        files, before = set(pictures["sha256"]) - {""}, set(self.latest["sha256"]) - {""}
        shared = len(files & before)
        return shared > 0 and shared >= MIN_SHARED * min(len(files), len(before))

    def write(self, data_dir: Path) -> None:
        """Write both files, each whole or not at all; killed between them, the next run deals in the same way."""
        self.versions.write(data_dir)
        write_whole(data_dir / SIDES_CSV, self.table.to_csv(index=False))

    @classmethod
    def read(cls, data_dir: Path, params: SplitParams) -> "Memory | None":
        """Read what is remembered in `data_dir`; None where nothing is, or only of other settings.

        Where `sides.csv` is missing, an earlier version's manifest is remembered if these settings explain its sides.
        Raises ManifestError for files that are malformed, with the line.
        """
        versions = Versions.read(data_dir)
        if versions.settings not in (None, params):
            return None
        path = data_dir / SIDES_CSV
        if path.is_file():
            return cls(_read_sides(path), versions)
        return _of_manifest(data_dir, params, versions)


def _nothing(number: int) -> tuple[TextArray, TextArray, IntArray, BoolArray]:
    return (
        np.full(number, "", dtype=object), np.full(number, "", dtype=object),
        np.full(number, -1, dtype=np.int64), np.zeros(number, dtype=bool),
    )  # fmt: skip


def _read_sides(path: Path) -> pd.DataFrame:
    """Read `sides.csv`. Raises ManifestError with the line of a side that is none."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
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
    """Return the memory of a manifest that was divided before sides were remembered, None if there is none."""
    try:
        manifest = Manifest.read(data_dir / "manifest.csv")
        divided = assign_splits(manifest.table, params)
    except ManifestError:
        return None
    if not divided["split"].equals(manifest.table.sort_values("path", ignore_index=True)["split"]):
        return None
    table = divided.assign(fold=deal_folds(divided, params), version=versions.newest or 1, given=0)
    if not versions.newest:
        versions = Versions((Version.of(Manifest(divided, data_dir), params, 1),))
    # Whether its groups were stated is not noted; those of likeness have other names the next time.
    return Memory(table.assign(group="")[COLUMNS], versions)


def forget(data_dir: Path) -> list[Path]:
    """Move what says where pictures were put to `kept/`, so that all is divided anew; return the new places."""
    kept = []
    for name in (SIDES_CSV, "manifest.csv"):
        file = data_dir / name
        if file.is_file():
            place = data_dir / KEPT_DIR / f"{file.stem}-{time.strftime('%Y%m%d-%H%M%S')}{file.suffix}"
            place.parent.mkdir(exist_ok=True)
            kept.append(file.rename(place))
    return kept


def merged(
    memory: Memory | None, divided: pd.DataFrame, folds: Sequence[int], versions: Versions, *, is_given: bool
) -> Memory:
    """Return the memory with these pictures, as they are divided now; what is gone stays.

    divided: `COLUMNS` but the last three, in the order of `folds`; `split` is '' of a picture that was left out.
    """
    now = divided.assign(fold=list(folds), version=versions.newest, given=int(is_given))[COLUMNS]
    if memory is None:
        return Memory(now, versions)
    keys = set(zip(now["path"], now["sha256"], strict=True))
    is_gone = [key not in keys for key in zip(memory.table["path"], memory.table["sha256"], strict=True)]
    table = pd.concat([memory.table[is_gone], now]).sort_values(["path", "version"], ignore_index=True, kind="stable")
    return Memory(table, versions)
