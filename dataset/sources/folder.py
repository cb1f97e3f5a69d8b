"""Any folder of labelled pictures: `root/<class>/**/<picture>`, or pictures with masks, outlines or boxes.

Which pictures show the same object is read from a CSV with the columns `path,group` (paths relative to the root;
further columns become attributes) or else found by likeness, which misses mirrored and rotated shots.
"""

from collections.abc import Sequence
from pathlib import Path

from dataset.box_formats.boxed_folder import holds_boxes, read_boxed_folder
from dataset.manifest import ManifestError
from dataset.masks.coco_folder import find_coco, read_coco_folder
from dataset.masks.masked_folder import CLASS_MAP, holds_masks, read_masked_folder
from dataset.readable_name import readable
from dataset.sources.class_folders import check_normal, place_pictures
from dataset.sources.file_kinds import FileKinds, tell_kinds
from dataset.sources.file_tree import read_tree
from dataset.sources.folder_options import ClassFolders, SkipName, SplitWord
from dataset.sources.left_out import report_left_out, without
from dataset.sources.listing import describe, listed
from dataset.sources.lists.listed_folder import read_labelled_folder, read_metadata_folder
from dataset.sources.lists.metadata import find_metadata
from dataset.sources.source_picture import Collection, SourcePicture


def read_folder(
    root: Path,
    groups_csv: Path | None,
    normal_class: str = "",
    classes: ClassFolders = "",
    skip: Sequence[SkipName] = (),
    split: SplitWord = "",
    labels_csv: Path | None = None,
) -> Collection:
    """List the pictures below `root`, one class a folder; `normal_class` is the one that is no defect, or ''.

    classes: `top` says that every folder at the top is a class of its own, whatever the folders look like. skip: what
    may be left out. split: `given` keeps the sides of a folder that is divided already, `ours` takes its parts
    together; '' refuses it. labels_csv: says the class of each picture, whatever lies in the folder.
    A folder that holds `images/` and `masks/` is read by `read_masked_folder`, one with a document of COCO's by
    `read_coco_folder`, one with boxes of YOLO's or Pascal VOC's by `read_boxed_folder`, one with metadata of an
    `imagefolder` by `read_metadata_folder`.
    Raises ManifestError for pictures outside class folders, an empty class, fewer than two classes, a directory that is
    divided or laid out for something else, names that cannot be kept, a normal class that is none, and a groups CSV
    that does not fit the pictures.
    """
    tree = read_tree(root)
    kinds = tell_kinds(root, tree.files)
    if labels_csv:
        report_left_out(root, tree, _without_file(root, kinds, labels_csv), groups_csv)
        return read_labelled_folder(root, kinds, labels_csv, groups_csv, normal_class, split)
    document = find_coco(root, tree.files) if classes != "top" else None
    if document and holds_masks(kinds):
        raise ManifestError(
            f"{readable(str(root))} holds masks/ and {document.path.name}: move the one away that is not to be read"
        )
    if document and split == "given":
        raise ManifestError(
            f"SPLIT=given is not for pictures that {document.path.name} of COCO names: they are divided here, by object"
        )
    if document:
        report_left_out(root, tree, without(kinds, document.path.relative_to(root).as_posix()), groups_csv)
        return read_coco_folder(root, document, kinds, groups_csv, normal_class)
    if holds_masks(kinds):
        report_left_out(root, tree, without(kinds, CLASS_MAP), groups_csv)
        return read_masked_folder(root, tree, kinds, groups_csv, normal_class, classes, skip, split)
    if classes != "top" and holds_boxes(kinds):
        return read_boxed_folder(root, tree, kinds, groups_csv, normal_class, split)
    if classes != "top" and (lists := find_metadata(root, tree.files)):
        for path in lists:
            kinds = without(kinds, path)
        report_left_out(root, tree, kinds, groups_csv)
        return read_metadata_folder(root, kinds, lists, groups_csv, normal_class, split)
    placed = place_pictures(root, tree.folders, kinds, classes, split)
    report_left_out(root, tree, kinds, groups_csv)
    check_normal(normal_class, sorted({one.label for one in placed.values()}))
    rows = listed(root, [*placed], groups_csv)
    originals = {f"pictures/images/{path}": root / path for path in rows}
    collected = [
        SourcePicture(
            f"pictures/images/{path}", placed[path].label, row.group, attributes=row.attributes, split=placed[path].side
        )
        for path, row in rows.items()
    ]
    description = describe(root, "one class a folder", groups_csv, normal_class)
    return Collection(collected, description, groups_csv is not None, originals)


def _without_file(root: Path, kinds: FileKinds, file: Path) -> FileKinds:
    """Return the files without one of the user's, if it lies below `root`."""
    real, real_root = file.resolve(), root.resolve()
    return without(kinds, real.relative_to(real_root).as_posix()) if real.is_relative_to(real_root) else kinds
