"""Any folder of pictures with masks beside them: `root/images/<picture>` and `root/masks/<mask>` of the same name.

The class of a picture is its folder in `images/`, or, where they lie in no folders, the region that has the largest
part of it. What masks mark is the class of their picture, or what `masks/classes.csv` says of their values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset.annotations import MAX_REGIONS
from dataset.checks import named
from dataset.manifest import ManifestError
from dataset.masks.class_map import CLASSES_CSV, ClassMap, read_class_map
from dataset.masks.mask_file import read_marked
from dataset.masks.source_masks import BinaryMasks, IndexMasks, SourceMasks
from dataset.readable_name import for_shell, readable
from dataset.sources.class_folders import check_normal, place_pictures
from dataset.sources.divided_folder import Placed, sides_of_parts
from dataset.sources.file_kinds import FileKinds
from dataset.sources.file_tree import FileTree
from dataset.sources.folder_names import check_names
from dataset.sources.folder_options import ClassFolders, SkipName, SplitWord
from dataset.sources.folder_shape import both_commands, shape_of, split_folders
from dataset.sources.listing import NORMAL, describe, listed
from dataset.sources.source_picture import Collection, SourcePicture

IMAGES, MASKS = "images", "masks"
REGION = "defect"  # what their masks mark, where nothing says
CLASS_MAP = f"{MASKS}/{CLASSES_CSV}"
_ADVICE = (
    "Repair them; what values mean says {masks}/classes.csv, with the first line value,name and one for each value "
    "(255,ignored for pixels that nobody knows)"
)


@dataclass(frozen=True, slots=True)
class _Files:
    """The user's pictures and masks, each relative to its folder; masks by the path of their picture."""

    pictures: list[str]
    masks: Mapping[str, str]


def holds_masks(kinds: FileKinds) -> bool:
    """Tell whether pictures lie in both `images/` and `masks/`. kinds: of all files of the folder."""
    return all(any(path.startswith(f"{folder}/") for path in kinds.pictures) for folder in (IMAGES, MASKS))


def read_masked_folder(
    root: Path, tree: FileTree, kinds: FileKinds, groups_csv: Path | None, normal_class: str, classes: ClassFolders,
    skip: Sequence[SkipName], split: SplitWord = "",
) -> Collection:  # fmt: skip
    """List the pictures below `root/images` with their masks.

    tree, kinds: of all files of `root`. normal_class: the class of pictures in which nothing is marked, or ''.
    classes, skip, split: as for any folder; `masks` in `skip` says that pictures may have no mask, all of which is then
    ignored. Raises ManifestError for what does for any folder, for pictures elsewhere, and for pictures and masks that
    do not belong together.
    """
    _check_elsewhere(root, kinds)
    images, masks = root / IMAGES, root / MASKS
    own = _below(kinds, IMAGES)
    parts = _parts(own) if classes != "top" else []
    if parts and not split:
        raise ManifestError(f"{IMAGES}/ in {readable(str(root))} is divided into {named(parts)}. {both_commands(root)}")
    is_flat = bool(parts) or not any("/" in path for path in [*own.pictures, *own.closed])
    placed = _placed(images, tree, own, normal_class, classes, split, is_flat=is_flat)
    label_of = {path: one.label for path, one in placed.items()}
    normal = normal_class or (NORMAL if is_flat else "")
    files = _pairs(root, sorted(label_of), sorted(_below(kinds, MASKS).pictures), label_of, normal, "masks" in skip)
    class_map = read_class_map(root / CLASS_MAP) if (root / CLASS_MAP).is_file() else None
    if is_flat and normal in (class_map.names if class_map else (REGION,)):
        raise ManifestError(
            f"{normal} is the class of pictures in which nothing is marked, and a region in {CLASS_MAP}: name one of "
            "both otherwise (make data DATA=... NORMAL=...)"
        )
    rows = listed(images, files.pictures, groups_csv)
    pictures, originals, mask_files = [], {}, {}
    for path, row in rows.items():
        has_mask = path in files.masks or label_of[path] != normal
        mask = f"pictures/masks/{_stem(path)}.png" if has_mask else ""
        pictures.append(
            SourcePicture(f"pictures/images/{path}", label_of[path], row.group, mask, row.attributes, placed[path].side)
        )
        originals[f"pictures/images/{path}"] = images / path
        if path in files.masks:
            mask_files[mask] = originals[mask] = masks / files.masks[path]
    source_masks = _source_masks(mask_files, class_map, sorted({*label_of.values()} - {normal, ""}))
    how = "its class the region that has the largest part of it" if is_flat else "one class a folder"
    description = describe(root, f"{how}, with masks", groups_csv, normal)
    advice = _ADVICE.format(masks=readable(str(masks)))
    return Collection(pictures, description, groups_csv is not None, originals, source_masks, mask_advice=advice)


def _parts(own: FileKinds) -> list[str]:
    """Return the parts of a split whose folders hold all pictures, with no class folders in them; none otherwise."""
    top = shape_of([*own.pictures, *own.closed])
    parts = split_folders(top.folders)
    is_all = len(parts) == len(top.folders) and not top.num_pictures
    return parts if is_all and not any(folder.folders for folder in top.folders.values()) else []


def _placed(
    images: Path, tree: FileTree, own: FileKinds, normal_class: str, classes: ClassFolders, split: SplitWord, *,
    is_flat: bool,
) -> dict[str, Placed]:  # fmt: skip
    """Return the class of every picture, '' for each where they lie in no folders, and its side where it is given."""
    if is_flat:
        pictures = [*own.pictures, *own.closed]
        check_names(images, pictures)
        return {path: Placed("", side) for path, side in sides_of_parts(images, pictures, split).items()}
    folders = sorted(
        {path.split("/")[1] for path in tree.files if path.startswith(f"{IMAGES}/") and path.count("/") > 1}
    )
    try:
        placed = place_pictures(images, folders, own, classes, split)
    except ManifestError as exc:
        # The folder to name is the one that holds the masks, too.
        text = str(exc).replace(f"DATA={for_shell(str(images))} SPLIT", f"DATA={for_shell(str(images.parent))} SPLIT")
        raise ManifestError(f"{text}. What is moved in {IMAGES}/ must be moved in {MASKS}/ as well") from exc
    check_normal(normal_class, sorted({one.label for one in placed.values()}))
    return placed


def _source_masks(files: Mapping[str, Path], class_map: ClassMap | None, labels: Sequence[str]) -> SourceMasks:
    """Return what reads the masks. labels: classes but the normal one, none where masks say them."""
    if class_map:
        return IndexMasks(files, class_map.names, class_map.read)
    names = tuple(labels) or (REGION,)
    if len(names) > MAX_REGIONS:
        raise ManifestError(f"{len(names)} classes have masks; at most {MAX_REGIONS} regions are possible")
    return BinaryMasks(files, names, read_marked)


def _check_elsewhere(root: Path, kinds: FileKinds) -> None:
    """Refuse pictures that lie neither in `images/` nor in `masks/`."""
    elsewhere = [path for path in kinds.pictures if path.split("/")[0] not in (IMAGES, MASKS) or "/" not in path]
    if elsewhere:
        raise ManifestError(
            f"{readable(str(root))} holds {IMAGES}/ and {MASKS}/, and {len(elsewhere)} picture(s) beside them: "
            f"{named(elsewhere)}. Move them into {IMAGES}/, each with its mask, or away"
        )


def _below(kinds: FileKinds, folder: str) -> FileKinds:
    """Return the files of one folder, relative to it."""
    start = f"{folder}/"

    def inside(paths: Sequence[str]) -> list[str]:
        return [path.removeprefix(start) for path in paths if path.startswith(start)]

    return FileKinds(
        inside(kinds.pictures),
        {kind: found for kind, paths in kinds.others.items() if (found := inside(paths))},
        {path.removeprefix(start): reason for path, reason in kinds.closed.items() if path.startswith(start)},
    )


def _pairs(
    root: Path, pictures: list[str], masks: list[str], label_of: Mapping[str, str], normal: str, may_lack: bool
) -> _Files:
    """Return the mask of each picture. Raises ManifestError for all that have no counterpart, or more than one."""
    by_stem: dict[str, list[str]] = {}
    for path in masks:
        by_stem.setdefault(_stem(path), []).append(path)
    stems: dict[str, list[str]] = {}
    for path in pictures:
        stems.setdefault(_stem(path), []).append(path)
    twice = [" and ".join(paths) for paths in stems.values() if len(paths) > 1]
    twice += [" and ".join(f"{MASKS}/{path}" for path in paths) for paths in by_stem.values() if len(paths) > 1]
    orphans = [f"{MASKS}/{path}" for path in masks if _stem(path) not in stems]
    lacking = [
        path for path in pictures if _stem(path) not in by_stem and (not label_of[path] or label_of[path] != normal)
    ]
    ways = _ways_out(lacking, label_of, normal)
    for problem, files, advice in (
        ("file(s) that differ in their ending alone", twice, "A picture has one mask, called as it is: rename them"),
        ("mask(s) without a picture", orphans, f"Masks lie as their pictures do, {MASKS}/x/a.png for {IMAGES}/x/a.jpg"),
        ("picture(s) without a mask", [] if may_lack and all(label_of.values()) else lacking, ways),
    ):
        if files:
            raise ManifestError(f"{readable(str(root))} holds {len(files)} {problem}: {named(files)}. {advice}")
    return _Files(pictures, {path: by_stem[_stem(path)][0] for path in pictures if _stem(path) in by_stem})


def _ways_out(lacking: Sequence[str], label_of: Mapping[str, str], normal: str) -> str:
    """Say what may be done about pictures without a mask."""
    if lacking and not label_of[lacking[0]]:
        return "Their masks say their class: make one for each, all of it 0 where nothing is to be marked"
    advice = (
        "Make one for each; or, if nobody has marked what is there, leave that out: make data DATA=... SKIP=masks, and "
        "all of these pictures is ignored"
    )
    return advice if normal else f"{advice}. Pictures of the normal class need none: make data DATA=... NORMAL=..."


def _stem(path: str) -> str:
    """Return a path without its ending, by which a mask belongs to its picture."""
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    return f"{folder}/{stem}" if folder else stem
