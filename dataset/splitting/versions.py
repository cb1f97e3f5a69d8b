"""Number the versions of the data, and say what each changed: which pictures are new, changed, relabelled and gone."""

from collections.abc import Hashable, Set
from pathlib import Path
from typing import NamedTuple, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from dataset.checks import named
from dataset.manifest import Manifest, ManifestError
from dataset.params import SplitParams
from project.write_whole import write_whole

VERSIONS_FILE = "versions.json"
MIN_SHARED = 0.1  # of the smaller set's pictures


def are_same_data(pictures: Set[Hashable], others: Set[Hashable]) -> bool:
    """Tell whether two sets of pictures, by what each is known by, share enough to be versions of the same data."""
    num_shared = len(pictures & others)
    return num_shared > 0 and num_shared >= MIN_SHARED * min(len(pictures), len(others))


class Changes(NamedTuple):
    """Paths by what became of them, sorted: pictures that came, whose file or label is another one, and that went."""

    new: list[str]
    changed: list[str]
    relabelled: list[str]
    gone: list[str]

    def in_words(self) -> str:
        """Return what changed, '' if nothing did; each with the first names."""
        parts = [f"{len(paths)} {word} ({named(paths)})" for word, paths in self._asdict().items() if paths]
        return "; ".join(parts)


def changes(before: pd.DataFrame, now: pd.DataFrame) -> Changes:
    """Compare two tables with the columns `path`, `sha256` and `label`.

    A file under another name is neither new nor gone; another file under a name is changed.
    """
    labels = dict(zip(before["sha256"], before["label"], strict=True))
    paths, files, current = set(before["path"]), set(now["sha256"]), set(now["path"])
    rows = sorted(zip(now["path"], now["sha256"], now["label"], strict=True))
    unknown = [path for path, sha256, _ in rows if sha256 not in labels]
    gone = zip(before["path"], before["sha256"], strict=True)
    return Changes(
        [path for path in unknown if path not in paths],
        [path for path in unknown if path in paths],
        [path for path, sha256, label in rows if labels.get(sha256, label) != label],
        sorted(path for path, sha256 in gone if sha256 not in files and path not in current),
    )


def on_another_side(before: pd.DataFrame, now: pd.DataFrame) -> list[str]:
    """Return the paths of `now` whose file was there before, and never on the side that it is on now.

    before, now: two tables with the columns `path`, `sha256` and `split`. A given split may have a file on two sides.
    """
    known = set(before["sha256"])
    placed = set(zip(before["sha256"], before["split"], strict=True))
    rows = zip(now["path"], now["sha256"], now["split"], strict=True)
    return [path for path, sha256, side in rows if sha256 in known and (sha256, side) not in placed]


class Version(BaseModel):
    """One version of the data: its number, from 1, how many pictures and objects it has, and what it changed.

    data_sha256: of the manifest, by task. settings: by which it was divided. left_out: new pictures on no side, by
    path. is_dealt_anew: no side of the version before was kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    data_sha256: dict[str, str]
    settings: SplitParams
    pictures: int
    objects: int
    new: int = 0
    changed: int = 0
    relabelled: int = 0
    gone: int = 0
    left_out: tuple[str, ...] = ()
    is_dealt_anew: bool = True

    @classmethod
    def of(cls, manifest: Manifest, settings: SplitParams, number: int) -> Self:
        """Return the version of a divided manifest, as the first one."""
        table = manifest.table
        hashes = {
            "classification": manifest.data_sha256("classification"),
            "segmentation": manifest.data_sha256("segmentation"),
            "detection": manifest.data_sha256("detection"),
        }
        objects = table["group"].nunique()
        return cls(number=number, data_sha256=hashes, settings=settings, pictures=len(table), objects=objects)


class Versions(NamedTuple):
    """All versions of the data in a directory, the newest last."""

    all: tuple[Version, ...] = ()

    @property
    def newest(self) -> int:
        """The number of the newest version, 0 where there is none."""
        return self.all[-1].number if self.all else 0

    @property
    def settings(self) -> SplitParams | None:
        """How the newest version was divided."""
        return self.all[-1].settings if self.all else None

    def settings_of(self, number: int) -> SplitParams | None:
        """Return how a version was divided, None where it is not noted."""
        return next((version.settings for version in self.all if version.number == number), None)

    def is_newest(self, manifest: Manifest) -> bool:
        """Tell whether a manifest is that of the newest version."""
        return bool(self.all) and self.all[-1].data_sha256.get("classification") == manifest.sha256

    def describe(self, data_sha256: str) -> str:
        """Name the version whose manifest has this hash for some task: `version 2 of the data`, '' if none has."""
        numbers = [version.number for version in self.all if data_sha256 in version.data_sha256.values()]
        return f"version {numbers[-1]} of the data" if numbers else ""

    def with_next(self, version: Version) -> "Versions":
        """Return the versions with one more, unless it is of the same data and settings as the newest.

        version: its number is the next one; a greater one is added in any case, since some are missing here.
        """
        last = self.all[-1] if self.all else None
        is_next = version.number == self.newest + 1
        if last and is_next and (last.data_sha256, last.settings) == (version.data_sha256, version.settings):
            return self
        return Versions((*self.all, version))

    def write(self, data_dir: Path) -> None:
        """Write them to `data_dir`."""
        write_whole(data_dir / VERSIONS_FILE, _File(versions=self.all).model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, data_dir: Path) -> "Versions":
        """Read them from `data_dir`; none where nothing is noted. Raises ManifestError if the file is malformed."""
        path = data_dir / VERSIONS_FILE
        try:
            return cls(_File.model_validate_json(path.read_text(encoding="utf-8")).versions)
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError, ValidationError) as exc:
            raise ManifestError(
                f"cannot read {path}, which numbers the versions of the data: {exc}. Repair it, or move it away"
            ) from exc


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    versions: tuple[Version, ...]
