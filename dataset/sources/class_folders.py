"""Find the pictures of every class below a folder that holds one folder a class."""

from collections.abc import Sequence
from pathlib import Path

from dataset.checks import check_classes, named
from dataset.manifest import ManifestError
from dataset.readable_name import readable
from dataset.sources.divided_folder import Placed, place_divided
from dataset.sources.file_kinds import FileKinds
from dataset.sources.file_tree import IMAGE_SUFFIXES
from dataset.sources.folder_names import check_alike_classes, check_names
from dataset.sources.folder_options import ClassFolders, SplitWord
from dataset.sources.folder_shape import check_mask_files, check_shape, shape_of
from dataset.sources.left_out import what_lies_in


def place_pictures(
    root: Path, folders: Sequence[str], kinds: FileKinds, classes: ClassFolders, split: SplitWord
) -> dict[str, Placed]:
    """Return the class of every picture below `root`, relative to it, and its side where `split` keeps that.

    folders, kinds, classes: as of `check_class_folders`. Raises ManifestError for what is no folder of classes.
    """
    if split:
        return place_divided(root, kinds, split, classes)
    by_class = pictures_by_class(root, folders, kinds, check_class_folders(root, folders, kinds, classes))
    return {path: Placed(label, "") for label, paths in by_class.items() for path in paths}


def check_class_folders(root: Path, folders: Sequence[str], kinds: FileKinds, classes: ClassFolders) -> list[str]:
    """Return the pictures below `root`, sorted, once it is seen to be a folder of classes by its names.

    folders: at the top of `root`. kinds: of its files, relative to it. classes: `top` says that every folder at the
    top is a class of its own, whatever the folders look like. Raises ManifestError.
    """
    _check_top(root, kinds)
    # What cannot be opened may be a picture: decoding refuses it by name.
    pictures = sorted([*kinds.pictures, *kinds.closed])
    if classes != "top":
        check_shape(root, shape_of(pictures), folders)
        check_mask_files(root, pictures)
        check_alike_classes(root, folders)
    return pictures


def pictures_by_class(
    root: Path, folders: Sequence[str], kinds: FileKinds, pictures: Sequence[str]
) -> dict[str, list[str]]:
    """Return the pictures of every class folder, relative to `root`.

    pictures: of `check_class_folders`. Raises ManifestError for names that cannot be kept, a class without a picture
    and fewer than two classes.
    """
    if not pictures:
        raise ManifestError(
            f"{readable(str(root))} holds no pictures in class folders: expected {readable(str(root))}/<class>/"
            f"<picture> with one of the endings {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    check_names(root, pictures)
    by_class: dict[str, list[str]] = {folder: [] for folder in folders}
    for path in pictures:
        by_class[path.split("/")[0]].append(path)
    check_classes(
        {readable(label): len(paths) for label, paths in by_class.items()},
        {readable(label): what_lies_in(kinds, label) for label, paths in by_class.items() if not paths},
    )
    return by_class


def check_normal(normal_class: str, classes: Sequence[str]) -> None:
    """Raise ManifestError for a normal class that is none of the classes; '' states none."""
    if normal_class and normal_class not in classes:
        raise ManifestError(f"{normal_class!r} is to be the normal class, but the classes are {', '.join(classes)}")


def _check_top(root: Path, kinds: FileKinds) -> None:
    """Refuse pictures that lie in no class folder, and links at the top that lead nowhere: a class would be missing."""
    loose = [readable(path) for path in kinds.pictures if "/" not in path]
    if loose:
        raise ManifestError(
            f"{len(loose)} picture(s) lie in {readable(str(root))} itself and so have no class: {named(loose)}. "
            "Move each into the folder of its class, or name the classes in a CSV with the columns path,label: "
            "make data DATA=... LABELS=labels.csv"
        )
    closed = [f"{readable(path)} ({reason})" for path, reason in kinds.closed.items() if "/" not in path]
    if closed:
        raise ManifestError(
            f"{named(closed)}: what lies at the top of {readable(str(root))} cannot be opened. Is it a class? Repair "
            "or remove it"
        )
