"""Tell what a run wrote into an output from what a person put or changed there.

A run notes beside each output, in `.written/<output>.json`, which files it wrote, with their hashes. What is noted
there, or in the last state that DVC knows, can be made or fetched again and may be replaced. All else is a person's.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dataset.outputs.litter import is_apple_double, may_be_apple_double
from project.write_whole import write_whole

NOTES_DIR = ".written"
KEPT_DIR = "kept"  # beside an output: what was in its way and no run can make again
# What file managers and network disks leave in every folder that is looked at.
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".directory"})


@dataclass(frozen=True)
class Written:
    """What is known of one output: path below it ('' for an output that is a file) -> SHA-256.

    files: several hashes a path while a run replaces one by another. own: paths that are a person's and stay.
    is_open: a run began and did not come to its end, so that what it wrote is not known.
    """

    files: Mapping[str, frozenset[str]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    is_open: bool = False

    @classmethod
    def read(cls, output: Path) -> "Written":
        """Return what is noted of `output`; nothing where no run wrote a note."""
        try:
            note = json.loads(_note(output).read_text(encoding="utf-8"))
            files = {path: frozenset(hashes) for path, hashes in note["files"].items()}
            return cls(files, frozenset(note["own"]), bool(note["is_open"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def write(self, output: Path) -> None:
        """Note this of `output`, whole or not at all."""
        note = {
            "files": {path: sorted(hashes) for path, hashes in sorted(self.files.items())},
            "own": sorted(self.own),
            "is_open": self.is_open,
        }
        write_whole(_note(output), json.dumps(note, ensure_ascii=True, indent=0) + "\n")


def _note(output: Path) -> Path:
    return output.parent / NOTES_DIR / f"{output.name}.json"


def files_of(output: Path) -> dict[str, Path]:
    """Return path below `output` -> file; a file that is an output itself has the path ''. Links are not followed."""
    if output.is_symlink() or output.is_file():
        return {"": output}
    found: dict[str, Path] = {}
    for folder, subfolders, names in os.walk(output):
        links = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        for name in (*names, *links):
            path = Path(folder) / name
            if name not in _LITTER and not name.startswith(".nfs") and not _is_apple_double(path):
                found[path.relative_to(output).as_posix()] = path
    return found


def _is_apple_double(path: Path) -> bool:
    """Tell whether macOS wrote a file beside another; a name alone may be a person's."""
    if not may_be_apple_double(path.name) or not path.is_file():
        return False
    with path.open("rb") as file:
        return is_apple_double(file.read(4))


def foreign_files(output: Path, known: Written | None = None, *, by_content: bool = True) -> list[str]:
    """Return the paths below `output`, sorted, of files that no run wrote as they are now.

    known: what is noted of it, if that was read already. by_content: hash what is there; otherwise a file that was
    changed under its name goes unnoticed.
    """
    written = Written.read(output) if known is None else known

    def is_known(path: str, file: Path) -> bool:
        hashes = written.files.get(path)
        return bool(hashes) and (not by_content or _sha256(file) in (hashes or ()))

    unknown = {path: file for path, file in files_of(output).items() if not is_known(path, file)}
    if unknown:
        committed = _committed(output)
        unknown = {
            path: file
            for path, file in unknown.items()
            if path not in committed or (by_content and committed[path] != _md5(file))
        }
    return sorted(unknown)


def _committed(output: Path) -> dict[str, str]:
    """Return path -> MD5 of what `output` holds by dvc.lock: an earlier state that `dvc checkout` brought back."""
    from dvc.exceptions import DvcException  # a second to import, and seldom needed
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            for out in repo.index.outs:
                if Path(out.fs_path).resolve() == output.resolve() and (tree := out.get_obj()):
                    if not out.hash_info.isdir:
                        return {"": out.hash_info.value}
                    return {"/".join(key): digest.value for key, _, digest in tree}
    except (DvcException, OSError):
        pass
    return {}


def hashes_of(output: Path, paths: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return path -> its one SHA-256, of files below `output`."""
    return {path: frozenset({_sha256(output / path if path else output)}) for path in paths}


def _sha256(path: Path) -> str:
    return _digest(path, "sha256")


def _md5(path: Path) -> str:
    return _digest(path, "md5")


def _digest(path: Path, algorithm: str) -> str:
    """Return a file's hash; '' of what is no file or cannot be read. A link counts as what it leads to."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError:
        return ""
