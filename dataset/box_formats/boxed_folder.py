"""A folder of pictures with a text file of boxes for each: `images/` and `labels/` of YOLO, or Pascal VOC's folders.

The class of a picture is the object that has the largest area of boxes, or the normal class where there is none. Which
folders pictures lie in below that says nothing: they are mostly parts of a split, and splits are made here.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from dataset.box_formats.parts_first import parts_within
from dataset.box_formats.source_boxes import StatedBoxes
from dataset.box_formats.voc import parse_voc
from dataset.box_formats.yolo import CLASSES_TXT, DATA_YAML, parse_yolo, read_names
from dataset.checks import alike_but_for_case, named
from dataset.manifest import ManifestError
from dataset.outputs.originals import OriginalError, read_original, unread_message
from dataset.readable_name import readable
from dataset.sources.divided_folder import sides_of_parts
from dataset.sources.file_kinds import FileKinds
from dataset.sources.file_tree import FileTree
from dataset.sources.folder_names import check_names
from dataset.sources.folder_options import SplitWord
from dataset.sources.folder_words import split_role
from dataset.sources.left_out import report_left_out
from dataset.sources.listing import NORMAL, Row, describe, listed
from dataset.sources.source_picture import Collection, SourcePicture

logger = logging.getLogger(__name__)

_READERS = 16  # files read at once: on a network disk each waits for the network
Parse = Callable[[bytes, str, list[str]], StatedBoxes]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where pictures and boxes lie.

    names: files that name classes. maps: folders of pictures of another kind, which are left out.
    """

    name: str
    pictures: str
    boxes: str
    suffix: str
    names: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()


_YOLO = _Layout("YOLO's text", "images", "labels", "txt", names=(CLASSES_TXT, f"labels/{CLASSES_TXT}", DATA_YAML))
_VOC = _Layout("Pascal VOC's XML", "JPEGImages", "Annotations", "xml", maps=("SegmentationClass", "SegmentationObject"))


def holds_boxes(kinds: FileKinds) -> bool:
    """Tell whether files of boxes lie beside a folder of pictures. kinds: of all files of the folder."""
    return _layout_of(_swapped(kinds)[0]) is not None


def _swapped(kinds: FileKinds) -> tuple[FileKinds, Mapping[str, str]]:
    """Return the files with YOLO's parts below `images/` and `labels/`, and the real path of each that is not there."""
    return parts_within(kinds, _YOLO.pictures, _YOLO.boxes)


def read_boxed_folder(
    root: Path, tree: FileTree, kinds: FileKinds, groups_csv: Path | None, normal_class: str, split: SplitWord = ""
) -> Collection:
    """List the pictures of a folder of `holds_boxes`, with their boxes.

    tree, kinds: of all files of `root`. normal_class: the class of pictures without a box, or ''. split: `given` keeps
    the sides by the first folder below that of the pictures. Raises ManifestError for pictures elsewhere, pictures and
    files of boxes that do not belong together, files that hold what is no box, and a groups CSV that does not fit.
    """
    kinds, real = _swapped(kinds)
    layout = _layout_of(kinds)
    assert layout is not None
    folder = root / layout.pictures
    names_files = [name for name in layout.names if name in tree.files]
    box_files = [path for path in _box_files(kinds, layout) if path not in names_files]
    files = _pairs(root, kinds, layout, box_files, real)
    box_file_of = {path: real.get(file, file) for path, file in files.items()}
    report_left_out(root, tree, _without(kinds, {*names_files, *box_files}, layout.maps), groups_csv)
    parse = _yolo_parser(read_names(root, names_files)) if layout is _YOLO else parse_voc
    boxes = _read(root, box_file_of, parse)
    normal = normal_class or NORMAL
    _check_objects(root, boxes, normal)
    sides = sides_of_parts(folder, files, split)
    if not split:
        _say_parts(files)
    place = {path: real.get(f"{layout.pictures}/{path}", f"{layout.pictures}/{path}") for path in sorted(files)}
    rows = _rows(root, layout, place, groups_csv, is_moved=bool(real))
    pictures = [
        SourcePicture(f"pictures/images/{path}", "", row.group, "", row.attributes, sides[path])
        for path, row in rows.items()
    ]
    how = f"its class the object that has the largest area of boxes, with boxes in {layout.name}"
    return Collection(
        pictures, describe(root, how, groups_csv, normal), groups_csv is not None,
        originals={f"pictures/images/{path}": root / place[path] for path in rows},
        boxes={f"pictures/images/{path}": boxes[path] for path in rows},
    )  # fmt: skip


def _rows(
    root: Path, layout: _Layout, place: Mapping[str, str], groups_csv: Path | None, *, is_moved: bool
) -> dict[str, Row]:  # fmt: skip
    """Return each picture's row of the groups CSV, which names it as it lies on the disk. place: its path below `root`.

    is_moved: pictures lie in no folder of the layout's name. Raises ManifestError for a CSV that does not fit.
    """
    if not is_moved:
        return listed(root / layout.pictures, [*place], groups_csv)
    rows = listed(root, [*place.values()], groups_csv)
    return {path: rows[real] for path, real in place.items()}


def _layout_of(kinds: FileKinds) -> _Layout | None:
    for layout in (_YOLO, _VOC):
        if _box_files(kinds, layout) and any(path.startswith(f"{layout.pictures}/") for path in kinds.pictures):
            return layout
    return None


def _box_files(kinds: FileKinds, layout: _Layout) -> list[str]:
    return [path for path in kinds.others.get(layout.suffix, ()) if path.startswith(f"{layout.boxes}/")]


def _pairs(
    root: Path, kinds: FileKinds, layout: _Layout, box_files: Sequence[str], real: Mapping[str, str]
) -> dict[str, str]:  # fmt: skip
    """Return the file of boxes of each picture; pictures are relative to their folder, files of boxes to `root`.

    real: as of `_swapped`, for messages. Raises ManifestError, all together, for what has no counterpart or several,
    and for pictures elsewhere.
    """

    def shown(path: str) -> str:
        return real.get(path) or real.get(f"{start}{path}", path)

    start = f"{layout.pictures}/"
    every = [path for path in [*kinds.pictures, *kinds.closed] if path.split("/")[0] not in layout.maps]
    pictures = [path.removeprefix(start) for path in every if path.startswith(start)]
    check_names(root / layout.pictures, pictures)
    by_stem = {_stem(path.removeprefix(f"{layout.boxes}/")): path for path in box_files}
    same_stem = sorted({*box_files} - {*by_stem.values()})
    stems: dict[str, list[str]] = {}
    for path in pictures:
        stems.setdefault(_stem(path), []).append(path)
    example = f"{layout.boxes}/x/a.{layout.suffix} for {layout.pictures}/x/a.jpg"
    nothing = "one that is empty" if layout is _YOLO else "one without an object"
    problems = [
        f"{len(found)} {what}: {named(list(map(shown, found)))}. {advice}"
        for what, found, advice in (
            (f"picture(s) outside {start}", [path for path in every if not path.startswith(start)], "Move them"),
            (
                "file(s) of boxes without a picture", [path for stem, path in by_stem.items() if stem not in stems],
                f"They lie as their pictures do, {example}",
            ),
            (
                "picture(s) without a file of boxes", [path for path in pictures if _stem(path) not in by_stem],
                f"Write one for each, {example}; where nothing is to be found, {nothing}",
            ),
            (
                "file(s) of boxes that differ in their ending alone", same_stem, "Remove all but one",
            ),
            (
                "picture(s) that differ in their ending alone",
                [" and ".join(map(shown, paths)) for paths in stems.values() if len(paths) > 1],
                "Rename them with their boxes",
            ),
        )
        if found
    ]  # fmt: skip
    if problems:
        raise ManifestError(f"{readable(str(root))} holds {'. It holds '.join(problems)}")
    return {path: by_stem[_stem(path)] for path in pictures}


def _stem(path: str) -> str:
    """Return a path without its ending, by which boxes belong to their picture."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _without(kinds: FileKinds, own: Set[str], maps: Sequence[str]) -> FileKinds:
    """Return the files that are left out: without those of boxes, and with pictures of another kind."""
    others = {kind: [path for path in paths if path not in own] for kind, paths in kinds.others.items()}
    others["mask"] = [path for path in kinds.pictures if path.split("/")[0] in maps]
    return replace(kinds, others=others)


def _say_parts(pictures: Iterable[str]) -> None:
    parts = sorted({path.split("/")[0] for path in pictures if "/" in path and split_role(path.split("/")[0])})
    if parts:
        logger.warning(
            "%s: pictures of all are taken together, since splits are made here, by object; SPLIT=given keeps them",
            named(parts),
        )


def _yolo_parser(names: Sequence[str]) -> Parse:
    return lambda data, shown, problems: parse_yolo(data, shown, names, problems)


def _read(root: Path, files: Mapping[str, str], parse: Parse) -> dict[str, StatedBoxes]:
    """Return the boxes of each picture. Raises ManifestError for files that cannot be read and what is no box in them.

    files: of each picture, relative to `root`.
    """

    def read(file: str) -> bytes | OriginalError:
        try:
            return read_original(root / file)
        except OriginalError as exc:
            return exc

    with ThreadPoolExecutor(_READERS) as pool:
        contents = dict(zip(files, pool.map(read, files.values()), strict=True))
    unread = {str(root / files[path]): str(data) for path, data in contents.items() if isinstance(data, OriginalError)}
    if unread:
        raise ManifestError(unread_message(unread))
    problems: list[str] = []
    boxes = {
        path: parse(data, readable(str(root / files[path])), problems)
        for path, data in contents.items()
        if isinstance(data, bytes)
    }
    if problems:
        raise ManifestError(f"{len(problems)} box(es) or file(s) cannot be used: {named(problems)}. Repair them")
    return boxes


def _check_objects(root: Path, boxes: Mapping[str, StatedBoxes], normal: str) -> None:
    """Refuse an object called as the normal class is, and names that differ in case alone."""
    names = sorted({box.object for stated in boxes.values() for box in stated.boxes})
    if normal in names:
        raise ManifestError(
            f"{normal} is the class of pictures without a box, and an object in {readable(str(root))}: name the class "
            "otherwise (make data DATA=... NORMAL=...)"
        )
    if alike := alike_but_for_case(names):
        raise ManifestError(
            f"objects in {readable(str(root))} have names that differ in case alone: {named(alike)}. Write each in "
            "one way"
        )
