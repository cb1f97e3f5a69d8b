"""List the files that a user's directory holds, and what of it is passed over."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dataset.checks import named
from dataset.manifest import ManifestError
from dataset.outputs.litter import is_litter_file, is_litter_folder
from dataset.readable_name import readable

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".dib", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
# A name such as .5mm or .001.jpg is a measure or a number, and not hidden.
_NUMBER = re.compile(r"\.\d")


@dataclass(slots=True)
class FileTree:
    """What a directory holds; every path is relative to it and '/' separated.

    files: all files, sorted. folders: the folders at the top, sorted, whether they hold anything or not. hidden: files
    that are hidden or lie in hidden folders. litter: what systems left, files and folders. special: pipes, sockets and
    devices. repeated: linked folders that lead to one already read within the same top folder.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)


def read_tree(root: Path) -> FileTree:
    """Walk through `root`.

    Linked folders are followed, as data sets on clusters are often built of links, but each real folder is read once.
    A dangling link is listed as a file: whoever opens it gets the error.
    Raises ManifestError for folders that cannot be listed, for one that is reached below two top folders, since its
    pictures would be of two classes, and for pipes, sockets and devices that are called pictures.
    """
    walk = _Walk(root)
    walk.enter("", is_hidden=False)
    if walk.refused:
        raise ManifestError(
            f"{len(walk.refused)} folder(s) cannot be read, so pictures would be left out: {named(walk.refused)}"
        )
    tree = walk.tree
    if strange := [readable(str(root / path)) for path in tree.special if is_image(Path(path))]:
        raise ManifestError(f"no picture but a pipe, socket or device: {named(strange)}. Remove it")
    for paths in (tree.files, tree.folders, tree.hidden, tree.litter, tree.special, tree.repeated):
        paths.sort()
    return tree


def files_below(root: Path) -> list[Path]:
    """Return all files below `root`, sorted by path, without hidden ones and what systems left. See `read_tree`."""
    return [root / path for path in read_tree(root).files]


def is_image(path: Path) -> bool:
    """Tell by the suffix whether `path` is meant to be a picture; decoding tells whether it is one."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Tell whether a name is one that its owner does not want to see: it starts with a dot that no digit follows."""
    return name.startswith(".") and not _NUMBER.match(name)


class _Walk:
    """One way through a directory; `enter` calls itself for every folder."""

    def __init__(self, root: Path) -> None:
        self.tree = FileTree()
        self.refused: list[str] = []
        self._root = root
        self._first_path: dict[str, str] = {}  # of each real folder

    def enter(self, folder: str, *, is_hidden: bool) -> None:
        real = os.path.realpath(self._root / folder)
        if real in self._first_path:
            self._meet_again(folder, self._first_path[real])
            return
        self._first_path[real] = folder
        try:
            with os.scandir(self._root / folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as exc:
            self.refused.append(f"{readable(str(self._root / folder))} ({exc.strerror})")
            return
        for entry in found:
            self._take(entry, f"{folder}/{entry.name}" if folder else entry.name, is_hidden)

    def _take(self, entry: os.DirEntry[str], path: str, in_hidden: bool) -> None:
        hidden = in_hidden or is_hidden(entry.name)
        kind = _kind(entry)
        if kind == "folder":
            if is_litter_folder(entry.name):
                self.tree.litter.append(path + "/")
                return
            if "/" not in path and not hidden:
                self.tree.folders.append(path)
            self.enter(path, is_hidden=hidden)
        elif is_litter_file(entry.name):
            self.tree.litter.append(path)
        elif kind == "special":
            self.tree.special.append(path)
        else:
            (self.tree.hidden if hidden else self.tree.files).append(path)

    def _meet_again(self, path: str, first: str) -> None:
        is_loop = first == "" or path.startswith(f"{first}/")
        if is_loop or path.split("/")[0] == first.split("/")[0]:
            self.tree.repeated.append(path)
        else:
            paths = [readable(str(self._root / one)) for one in (path, first)]
            self.refused.append(f"{paths[0]} (the same folder as {paths[1]}: leave one of them out)")


def _kind(entry: os.DirEntry[str]) -> Literal["folder", "file", "special"]:
    """Tell what an entry is, through links; a link that leads nowhere, to itself or to what is closed is a file."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file() or not Path(entry.path).exists():
            return "file"
    except OSError:
        return "file"
    return "special"
