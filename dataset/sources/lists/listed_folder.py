"""Any folder of pictures whose classes, or boxes, a list says: a CSV that the user names, or lists beside the pictures.

What folders the pictures lie in says nothing of their class.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dataset.box_formats.source_boxes import StatedBoxes
from dataset.checks import alike_but_for_case, check_classes, named
from dataset.manifest import ManifestError
from dataset.readable_name import for_shell, readable
from dataset.sources.class_folders import check_normal
from dataset.sources.divided_folder import sides_of_parts
from dataset.sources.file_kinds import FileKinds
from dataset.sources.folder_names import check_names
from dataset.sources.folder_options import SplitWord
from dataset.sources.folder_shape import both_commands
from dataset.sources.group_paths import PictureNames
from dataset.sources.groups_csv import check_groups
from dataset.sources.listing import NORMAL, Row, describe, listed
from dataset.sources.lists.labels_csv import read_labels_csv
from dataset.sources.lists.listed_pictures import ListedRow, match_rows
from dataset.sources.lists.metadata import read_metadata
from dataset.sources.source_picture import Collection, SourcePicture


def read_labelled_folder(
    root: Path, kinds: FileKinds, labels_csv: Path, groups_csv: Path | None, normal_class: str, split: SplitWord
) -> Collection:
    """List the pictures below `root` with the labels of a CSV.

    kinds: of all files of `root`. normal_class: the class that is no defect, or ''. split: `given` keeps what the
    column `split` says, `ours` forgets it. Raises ManifestError, with lines, for what does not belong together.
    """
    rows = read_labels_csv(labels_csv)
    pictures = _pictures(root, kinds)
    found = match_rows(rows, _finder(root, pictures), pictures, "label")
    told = f"its class the label in {readable(labels_csv.name)}"
    return _collect(root, found, _sides(root, found, labels_csv, split), groups_csv, normal_class, told)


def read_metadata_folder(
    root: Path, kinds: FileKinds, lists: Sequence[str], groups_csv: Path | None, normal_class: str, split: SplitWord
) -> Collection:
    """List the pictures below `root` with the labels, or boxes, of the lists of `find_metadata`.

    As `read_labelled_folder`; where lists lie in folders of parts, these are the sides.
    """
    pictures = _pictures(root, kinds)
    known = set(pictures)
    rows = read_metadata(root, lists)
    found = match_rows(rows, lambda row: row.path if row.path in known else None, pictures, "label and no objects")
    folders = {name.rpartition("/")[0] for name in lists} - {""}
    if folders and not split:
        raise ManifestError(_both_ways(root, f"is divided into {named(sorted(map(readable, folders)))}"))
    sides = sides_of_parts(root, pictures, split) if folders else _sides(root, found, root / lists[0], split)
    told = "its class the label in the metadata beside it"
    return _collect(root, found, sides, groups_csv, normal_class, told)


def _pictures(root: Path, kinds: FileKinds) -> list[str]:
    pictures = sorted([*kinds.pictures, *kinds.closed])
    if not pictures:
        raise ManifestError(f"{readable(str(root))} holds no pictures")
    check_names(root, pictures)
    return pictures


def _finder(root: Path, pictures: Sequence[str]) -> Callable[[ListedRow], str | None]:
    """Return what finds a row's picture: by its path, else by its name, or its name without an ending, alone."""
    names = PictureNames(root, pictures)
    by_name: dict[str, set[str]] = {}
    for path in pictures:
        name = path.rpartition("/")[2]
        for key in (name, name.rpartition(".")[0] or name):
            by_name.setdefault(key, set()).add(path)

    def find(row: ListedRow) -> str | None:
        alone = by_name.get(row.path, set())
        return names.find(row.path) or (next(iter(alone)) if len(alone) == 1 else None)

    return find


def _sides(root: Path, found: Mapping[str, ListedRow], file: Path, split: SplitWord) -> dict[str, str]:
    """Return the sides of the column `split`, '' of all unless they are to be kept. Raises ManifestError."""
    has_column = any(row.split for row in found.values())
    if split != "given":
        if has_column and not split:
            raise ManifestError(_both_ways(root, f"is divided by the column split of {readable(str(file))}", file))
        return dict.fromkeys(found, "")
    if without := [f"{path} ({row.place})" for path, row in found.items() if not row.split]:
        raise ManifestError(
            f"SPLIT=given: {len(without)} picture(s) have no split: {named(without)}. Write one for each"
        )
    sides = {path: row.side for path, row in found.items()}
    if "train" not in sides.values() or len(set(sides.values())) < 2:
        raise ManifestError(
            f"SPLIT=given: {readable(str(file))} names no pictures for training, or none for validation and test. Let "
            "the pictures be divided here, by object: SPLIT=ours"
        )
    return sides


def _both_ways(root: Path, how: str, file: Path | None = None) -> str:
    labels = f" LABELS={for_shell(str(file))}" if file else ""
    return f"{readable(str(root))} {how}. {both_commands(root, labels)}"


def _collect(
    root: Path, found: Mapping[str, ListedRow], sides: Mapping[str, str], groups_csv: Path | None, normal_class: str,
    told: str,
) -> Collection:  # fmt: skip
    has_boxes = any(row.boxes is not None for row in found.values())
    normal = (normal_class or NORMAL) if has_boxes else normal_class
    _check_labels(found, normal_class, has_boxes=has_boxes)
    groups = _groups(root, found, groups_csv)
    pictures = [
        SourcePicture(
            f"pictures/images/{path}", row.label, groups[path].group,
            attributes={**row.attributes, **groups[path].attributes}, split=sides[path],
        )
        for path, row in found.items()
    ]  # fmt: skip
    boxes = {f"pictures/images/{path}": StatedBoxes(row.place, row.boxes or ()) for path, row in found.items()}
    has_groups = any(row.group for row in groups.values())
    description = describe(root, told, groups_csv, normal)
    if has_groups:
        description = description.model_copy(update={"group_meaning": "object named in the groups file or the list"})
    originals = {f"pictures/images/{path}": root / path for path in found}
    return Collection(pictures, description, has_groups, originals, boxes=boxes if has_boxes else None)


def _groups(root: Path, found: Mapping[str, ListedRow], groups_csv: Path | None) -> dict[str, Row]:
    """Return the object of each picture, from the groups CSV or else the list. Raises ManifestError."""
    own = {path: row for path, row in found.items() if row.group}
    if own and groups_csv:
        raise ManifestError(f"groups are stated in {readable(str(groups_csv))} and in the list: leave one of them out")
    if own and (without := [f"{path} ({row.place})" for path, row in found.items() if not row.group]):
        raise ManifestError(f"{len(without)} picture(s) have no group, and others have: {named(without)}")
    check_groups((row.group, row.place) for row in own.values())
    return {
        path: Row(found[path].group or row.group, row.attributes)
        for path, row in listed(root, [*found], groups_csv).items()
    }


def _check_labels(found: Mapping[str, ListedRow], normal_class: str, *, has_boxes: bool) -> None:
    """Refuse labels that cannot be told apart or shown, and fewer than two classes. Raises ManifestError."""
    first = {row.label: row.place for row in found.values() if row.label}
    first |= {box.object: row.place for row in found.values() for box in row.boxes or ()}
    if strange := [f"{readable(label)!r} ({place})" for label, place in first.items() if not label.isprintable()]:
        raise ManifestError(f"label(s) hold a line end, a tab or another control character: {named(strange)}")
    if alike := alike_but_for_case(sorted(first)):
        shown = [f"{label!r} ({first[label]})" for label in alike]
        raise ManifestError(
            f"labels that differ in case alone are likely one class: {named(shown)}. Write it in one way"
        )
    if not has_boxes:
        check_classes(dict.fromkeys(first, 1))
        check_normal(normal_class, sorted(first))
