"""Where pictures come from, as `data/source.yaml` says it."""

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from dataset.label_studio.picture_files import pictures_of_export
from dataset.manifest import ManifestError
from dataset.outputs.overlap import check_apart
from dataset.sources.file_tree import files_below, is_image
from dataset.sources.folder_options import ClassFolders, SkipName, SplitWord
from project.write_whole import write_whole

SourceName = Literal["synthetic-tiles", "magnetic-tile", "folder", "label-studio"]

_NAMED_ALONE: tuple[SourceName, ...] = ("synthetic-tiles", "magnetic-tile")


class DataSource(BaseModel):
    """Where pictures come from.

    path: of the pictures' folder, or of Label Studio's export; '' for drawn or downloaded ones. groups: CSV of objects,
    labels: CSV of labels, or ''. All as the user gave them: absolute, or relative to the project root. normal_class:
    the class of a folder that is no defect, or ''. skip: what of a folder may be left out. classes: `top` if a folder's
    folders at the top are the classes, whatever they look like. split: `given` or `ours` of a folder that is divided
    already, or ''.
    fingerprint: SHA-256 of what lies there, '' where nothing can change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: SourceName
    path: str = ""
    groups: str = ""
    labels: str = ""
    normal_class: str = ""
    skip: tuple[SkipName, ...] = ()
    classes: ClassFolders = ""
    split: SplitWord = ""
    fingerprint: str = ""

    def check_apart(self, places: Sequence[Path]) -> None:
        """Refuse pictures that lie where runs write, as `check_apart` of `dataset/outputs/overlap.py` does."""
        path = Path(self.path) if self.path else None
        check_apart(path, [Path(file) for file in (self.groups, self.labels) if file], places)
        if path and self.source == "label-studio":
            for file in {file.parent: file for file in pictures_of_export(path)}.values():
                check_apart(file, (), places)

    def write(self, path: Path) -> bool:
        """Write YAML if it differs from what is there; tell whether it did."""
        if self.is_noted(path):
            return False
        write_whole(path, self._text())
        return True

    def is_noted(self, path: Path) -> bool:
        """Tell whether the file is there and says this."""
        return path.is_file() and path.read_text(encoding="utf-8") == self._text()

    def _text(self) -> str:
        document = self.model_dump(mode="json")
        for option in ("labels", "skip", "classes", "split"):
            if not document[option]:  # named only where given, so that a file without them stays as it is
                del document[option]
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file. Raises ManifestError if it is missing or malformed."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except OSError as exc:
            raise ManifestError(f"cannot read {path}: {exc.strerror}. Run make data first") from exc
        except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as exc:
            raise ManifestError(f"{path} is no data source: {exc}. Remove it and run make data DATA=...") from exc

    def refreshed(self) -> Self:
        """Return a copy with the fingerprint of what lies there now. Raises ManifestError if it is gone."""
        return self.model_copy(update={"fingerprint": _fingerprint(self)})


def _fingerprint(source: DataSource) -> str:
    path = source.path
    if not path:
        return ""
    root = Path(path)
    is_export = source.source == "label-studio"
    if not (root.is_file() if is_export else root.is_dir()):
        what = (
            "a file, not a directory"
            if root.is_file()
            else "a directory, not an export"
            if root.is_dir()
            else "not there"
        )
        raise ManifestError(
            f"{path} is {what}. Give a directory of pictures, Label Studio's export.json or one of "
            f"{', '.join(_NAMED_ALONE)}: make data DATA=..."
        )
    tables = {what: Path(name) for what, name in (("groups", source.groups), ("labels", source.labels)) if name}
    for what, table in tables.items():
        if not table.is_file():
            raise ManifestError(f"the {what} file {table} is not there")
    digest = hashlib.sha256()
    files = [root, *pictures_of_export(root)] if is_export else files_below(root)
    for file in [*files, *tables.values()]:
        size, time_ns = _size_and_time(file)
        digest.update(f"{os.path.relpath(file, root)}\0{size}\0{time_ns}\n".encode(errors="replace"))
    return digest.hexdigest()


def _size_and_time(file: Path) -> tuple[int, int]:
    """Return a file's bytes and time in ns; zeros for one that cannot be reached, which loading reports."""
    try:
        facts = file.stat()
    except OSError:
        return 0, 0
    if is_image(file) and not stat.S_ISREG(facts.st_mode):
        raise ManifestError(f"{file} is a pipe, socket or device, not a picture: remove it")
    return facts.st_size, facts.st_mtime_ns
