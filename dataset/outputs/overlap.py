"""Refuse pictures that lie where a run writes, whose only copy it would replace, and a folder that no run could use."""

import os
from collections.abc import Sequence
from pathlib import Path

from dataset.checks import named
from dataset.manifest import ManifestError
from dataset.outputs.pipeline import IMAGES_DIR, PICTURES_DIR
from dataset.outputs.written import foreign_files
from dataset.sources.file_tree import files_below

_FolderId = tuple[int, int]


def check_apart(root: Path | None, tables: Sequence[Path], places: Sequence[Path]) -> None:
    """Refuse a directory of pictures or a CSV that lies in a place, is one, or holds one.

    root, tables: what the user named, if anything; folders below `root` and links among its files are looked at as
    well. places: that runs replace; each need not be there yet. Compared are paths as they are resolved, and folders
    themselves, so that links, bind mounts and names without case are seen. Raises ManifestError, also for folders
    that may not be entered.
    """
    resolved = {place.resolve(): place for place in places}
    ids = _ids(places)
    files = files_below(root) if root and root.is_dir() else []
    for path in [*filter(None, (root, *tables)), *dict.fromkeys(file.parent for file in files)]:
        real = path.resolve()
        for place_path, place in resolved.items():
            if real.is_relative_to(place_path):
                same = "is where runs write" if path == place else f"is {place}"
                how = f"lies in {place}" if real != place_path else same
                raise ManifestError(_refusal(path, how, place))
            if place_path.is_relative_to(real):
                raise ManifestError(_refusal(path, f"holds {place}", place))
        if (name := _id(path)) in ids:
            raise ManifestError(_refusal(path, f"is, by another name, {ids[name]} or a folder in it", ids[name]))
    # os.path, because a file in a folder that may not be entered is no error here: whoever reads it gets that
    links = {os.path.dirname(os.path.realpath(file)): file for file in files if os.path.islink(file)}  # noqa: PTH114, PTH120
    for folder, link in links.items():
        if (name := _id(Path(folder))) in ids:
            raise ManifestError(_refusal(link, f"is a link to a file in {ids[name]}", ids[name]))


def _refusal(path: Path, how: str, place: Path) -> str:
    return (
        f"{path} {how}, and runs replace {place} by files of their own. Nothing was touched. Move what is yours out of "
        f"there, to my-pictures/<class>/<picture> for example, and name that: make demo DATA=my-pictures"
    )


def _ids(places: Sequence[Path]) -> dict[_FolderId | None, Path]:
    """Return what the file system calls every place that is a folder, and every folder below it."""
    folders = {Path(folder): place for place in places for folder, _, _ in os.walk(place)}
    return {name: place for folder, place in folders.items() if (name := _id(folder))}


def _id(folder: Path) -> _FolderId | None:
    """Return what the file system calls a folder, whatever way leads to it; None of one that went away."""
    try:
        facts = folder.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def check_nothing_foreign(outputs: Sequence[Path], *, by_content: bool = True) -> None:
    """Refuse to replace outputs that hold what no run wrote, or what was changed since.

    by_content: hash what is there, which reads it all; otherwise names alone are compared. Raises ManifestError.
    """
    for output in outputs:
        if output.is_symlink() and output.is_dir():
            raise ManifestError(
                f"{output} is a link to {output.readlink()}, but runs replace that folder whole. Nothing was touched. "
                f"For pictures of yours, name their folder: make demo DATA={output.readlink()}; "
                f"for a larger disk, let {output.parent} itself be the link"
            )
        if foreign := foreign_files(output, by_content=by_content):
            files = [f"{output}/{path}" if path else str(output) for path in foreign]
            raise ManifestError(_foreign_message(output, files))


def _foreign_message(output: Path, files: Sequence[str]) -> str:
    if output.name != PICTURES_DIR:
        return (
            f"{named(files)} was not written by a run, or was changed since; a run would replace it. Nothing was "
            f"touched. Move or rename it: mv {output} {output.name}.mine"
        )
    # A run's own layout holds masks beside the pictures, whose values the description beside it names.
    classes = output / IMAGES_DIR if all(Path(file).is_relative_to(output / IMAGES_DIR) for file in files) else output
    return (
        f"{output} belongs to the runs, which replace it, but {len(files)} file(s) there were put or changed by "
        f"somebody else: {named(files)}. Nothing was touched. Move them to a folder of your own, one folder a class "
        f"(or all: mv {classes} my-pictures), and name that folder: make demo DATA=my-pictures"
    )


def check_folder(data_dir: Path) -> None:
    """Raise ManifestError for a data directory that is something else; one that is not there yet will be made."""
    if (data_dir.exists() or data_dir.is_symlink()) and not data_dir.is_dir():
        what = f"a link to {data_dir.readlink()}, which is not there" if data_dir.is_symlink() else "a file"
        raise ManifestError(f"{data_dir} is {what}; it must be a folder, or a link to one that is there")
