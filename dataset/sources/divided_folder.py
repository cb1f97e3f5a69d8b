"""Read a folder that is already divided into training, validation and test: which side and class each picture is of.

The parts are folders named so, in any of the languages of `folder_words`: at the top, below folders that hold nothing
else, or below each class (`cats/train`, `cats/test`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dataset.checks import check_classes, named
from dataset.manifest import ManifestError
from dataset.readable_name import readable
from dataset.sources.file_kinds import FileKinds
from dataset.sources.folder_names import check_alike_classes, check_names
from dataset.sources.folder_options import ClassFolders, SplitWord
from dataset.sources.folder_shape import Folder, check_mask_files, check_shape, shape_of, split_folders
from dataset.sources.folder_words import says_pictures, split_role


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a picture belongs: its class, and train, val or test, or '' where it is divided here."""

    label: str
    side: str


def place_divided(root: Path, kinds: FileKinds, split: SplitWord, classes: ClassFolders) -> dict[str, Placed]:
    """Return class and side of every picture below `root`, by path and sorted.

    kinds: of its files, relative to it. split: `given` keeps the sides, `ours` forgets them. classes: as for any
    folder. Raises ManifestError for a folder without parts, for pictures beside the parts or in no class folder, and
    for what is no folder of classes once its parts are taken together.
    """
    pictures = sorted([*kinds.pictures, *kinds.closed])
    check_names(root, pictures)
    parts = dict(_parts(shape_of(pictures), "", ""))
    inner = {path: _inner(path, parts) for path in pictures}
    if not parts:
        raise ManifestError(
            f"SPLIT={split}: {readable(str(root))} holds no folders that are named as parts of a split, such as train, "
            "val and test. Leave SPLIT away"
        )
    if beside := [readable(path) for path, found in inner.items() if not found]:
        raise ManifestError(
            f"{len(beside)} picture(s) in {readable(str(root))} lie beside the parts "
            f"{named([readable(part) for part in parts])}: {named(beside)}. Move them into one, or away"
        )
    below = {path: found for path, found in inner.items() if found}
    if loose := [readable(path) for path, (_, inside) in below.items() if "/" not in inside]:
        raise ManifestError(
            f"{len(loose)} picture(s) of the divided folder {readable(str(root))} lie in no class folder: "
            f"{named(loose)}. Move each into the folder of its class, DATA/<part>/<class>/<picture>, or away"
        )
    _check_together(root, [inside for _, inside in below.values()], classes)
    if split == "given":
        _check_roles(root, parts)
    is_given = split == "given"
    return {path: Placed(inside.split("/")[0], side if is_given else "") for path, (side, inside) in below.items()}


def sides_of_parts(folder: Path, pictures: Iterable[str], split: SplitWord) -> dict[str, str]:
    """Return the side of each picture by the first folder that it lies in, '' of all unless `split` is `given`.

    pictures: relative to `folder`, whose other folders say no class. Raises ManifestError for one that lies in no part.
    """
    paths = list(pictures)
    if split != "given":
        return dict.fromkeys(paths, "")
    roles = {path: split_role(path.split("/")[0]) if "/" in path else None for path in paths}
    if beside := [readable(path) for path, role in roles.items() if role is None]:
        raise ManifestError(
            f"SPLIT=given: {len(beside)} picture(s) in {readable(str(folder))} lie in no folder that is named as a part"
            f" of a split, such as train, val and test: {named(beside)}. Move them there, or let all be divided here: "
            "SPLIT=ours"
        )
    sides = {path: role[0] for path, role in roles.items() if role}
    _check_roles(folder, {path.split("/")[0]: (side, "") for path, side in sides.items()})
    return sides


def _parts(folder: Folder, path: str, kept: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the path of every part with its role and what of that path stays before the class.

    path: of `folder`, '' or with '/' at the end. kept: the class that `folder` is of, in the same form.
    """
    if names := split_folders(folder.folders):
        for name in names:
            role = split_role(name)
            if role:
                yield _unwrapped(f"{path}{name}", folder.folders[name]), (role[0], kept)
    elif len(folder.folders) == 1 and not folder.num_pictures and not kept:
        name, below = next(iter(folder.folders.items()))
        yield from _parts(below, f"{path}{name}/", "")
    elif not kept:
        for name, below in folder.folders.items():
            if split_folders(below.folders):
                yield from _parts(below, f"{path}{name}/", f"{name}/")


def _unwrapped(path: str, folder: Folder) -> str:
    """Go down where a part holds nothing but a folder of its own name or kind: `seg_train/seg_train/<class>`."""
    while not folder.num_pictures and len(folder.folders) == 1:
        name, below = next(iter(folder.folders.items()))
        if not below.folders or not (split_role(name) or says_pictures(name)):
            break
        path, folder = f"{path}/{name}", below
    return path


def _inner(path: str, parts: Mapping[str, tuple[str, str]]) -> tuple[str, str] | None:
    """Return the role of the part that a picture lies in, and its path as if there were no parts."""
    folders = path.split("/")[:-1]
    for depth in range(len(folders), 0, -1):
        part = "/".join(folders[:depth])
        if part in parts:
            role, kept = parts[part]
            return role, kept + path.removeprefix(f"{part}/")
    return None


def _check_together(root: Path, inside: list[str], classes: ClassFolders) -> None:
    """Check what lies in the parts as the folder of classes that it is together."""
    top = shape_of(inside)
    if classes != "top":
        check_shape(root, top, list(top.folders))
        check_mask_files(root, sorted(set(inside)))
        check_alike_classes(root, list(top.folders))
    check_classes({readable(label): 1 for label in top.folders})


def _check_roles(root: Path, parts: Mapping[str, tuple[str, str]]) -> None:
    """Refuse parts of which one has no side, and parts that hold nothing for training, or for training alone."""
    sides = {part: role for part, (role, _) in parts.items()}
    folds = [readable(part) for part, role in sides.items() if role == "fold"]
    problem = ""
    if folds:
        problem = f"{named(folds)} do not say what is for training and what for test"
    elif "train" not in sides.values() or len(set(sides.values())) < 2:
        problem = f"{named([readable(part) for part in sides])} are not training and validation or test"
    if problem:
        raise ManifestError(
            f"SPLIT=given: the parts of {readable(str(root))} cannot be kept, since {problem}. Let the pictures be "
            "divided here, by object: SPLIT=ours"
        )
