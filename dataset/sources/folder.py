"""Any folder of labelled pictures: `root/<class>/**/<picture>`.

Which pictures show the same object is read from a CSV with the columns `path,group` (paths relative to the root;
further columns become attributes) or else found by likeness, which misses mirrored and rotated shots.
"""

from pathlib import Path

from dataset.checks import check_classes, named
from dataset.description import DataDescription
from dataset.manifest import ManifestError
from dataset.readable_name import readable
from dataset.sources.file_kinds import FileKinds, tell_kinds
from dataset.sources.file_tree import IMAGE_SUFFIXES, read_tree
from dataset.sources.folder_names import check_alike_classes, check_names
from dataset.sources.folder_options import ClassFolders
from dataset.sources.folder_shape import check_mask_files, check_shape, shape_of
from dataset.sources.groups_csv import read_groups
from dataset.sources.left_out import report_left_out, what_lies_in
from dataset.sources.source_picture import Collection, SourcePicture


def read_folder(root: Path, groups_csv: Path | None, normal_class: str = "", classes: ClassFolders = "") -> Collection:
    """List the pictures below `root`, one class a folder; `normal_class` is the one that is no defect, or ''.

    classes: `top` says that every folder at the top is a class of its own, whatever the folders look like.
    Raises ManifestError for pictures outside class folders, an empty class, fewer than two classes, a directory that is
    divided or laid out for something else, names that cannot be kept, a normal class that is none, and a groups CSV
    that does not fit the pictures.
    """
    files = _files_by_class(root, groups_csv, classes)
    if normal_class and normal_class not in files:
        raise ManifestError(f"{normal_class!r} is to be the normal class, but the classes are {', '.join(files)}")
    relative = [path for label in files for path in files[label]]
    facts = read_groups(groups_csv, root, relative) if groups_csv else {}
    pictures = [
        SourcePicture(
            path=f"pictures/images/{path}",
            label=path.split("/")[0],
            group=facts.get(path, {}).get("group", ""),
            attributes={name: text for name, text in facts.get(path, {}).items() if name not in ("path", "group")},
        )
        for path in relative
    ]
    originals = {f"pictures/images/{path}": root / path for path in relative}
    return Collection(pictures, _describe(root, groups_csv, normal_class), groups_csv is not None, originals)


def _describe(root: Path, groups_csv: Path | None, normal_class: str) -> DataDescription:
    name = readable(root.resolve().name)
    return DataDescription(
        name=name,
        title=name,
        summary=f"Pictures from the folder {name}, one class a folder.",
        group_meaning=(
            "object named in the groups file" if groups_csv else "near-duplicate pictures (found, not stated)"
        ),
        normal_class=normal_class,
    )


def _files_by_class(root: Path, groups_csv: Path | None, classes: str) -> dict[str, list[str]]:
    """Return the pictures of every class folder, sorted, relative to `root`."""
    tree = read_tree(root)
    kinds = tell_kinds(root, tree.files)
    _check_top(root, kinds)
    # What cannot be opened may be a picture: decoding refuses it by name.
    pictures = sorted([*kinds.pictures, *kinds.closed])
    if classes != "top":
        check_shape(root, shape_of(pictures), tree.folders)
        check_mask_files(root, pictures)
        check_alike_classes(root, tree.folders)
    report_left_out(root, tree, kinds, groups_csv)
    if not pictures:
        raise ManifestError(
            f"{readable(str(root))} holds no pictures in class folders: expected {readable(str(root))}/<class>/"
            f"<picture> with one of the endings {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    check_names(root, pictures)
    by_class: dict[str, list[str]] = {folder: [] for folder in tree.folders}
    for path in pictures:
        by_class[path.split("/")[0]].append(path)
    check_classes(
        {readable(label): len(paths) for label, paths in by_class.items()},
        {readable(label): what_lies_in(kinds, label) for label, paths in by_class.items() if not paths},
    )
    return by_class


def _check_top(root: Path, kinds: FileKinds) -> None:
    """Refuse pictures that lie in no class folder, and links at the top that lead nowhere: a class would be missing."""
    loose = [readable(path) for path in kinds.pictures if "/" not in path]
    if loose:
        raise ManifestError(
            f"{len(loose)} picture(s) lie in {readable(str(root))} itself and so have no class: {named(loose)}. "
            "Move each into the folder of its class"
        )
    closed = [f"{readable(path)} ({reason})" for path, reason in kinds.closed.items() if "/" not in path]
    if closed:
        raise ManifestError(
            f"{named(closed)}: what lies at the top of {readable(str(root))} cannot be opened. Is it a class? Repair "
            "or remove it"
        )
