"""A folder of pictures with a COCO document of outlines or boxes: `annotations.json`, `instances_*.json` beside them.

The class of a picture is the region that has the largest part of it, or the object that has the largest boxes where
nothing is outlined, or the normal class.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from dataset.box_formats.coco_boxes import boxes_of_image
from dataset.checks import named
from dataset.manifest import ManifestError
from dataset.masks.coco import CocoDocument, CocoImage, check_coco, is_coco, read_json
from dataset.masks.coco_masks import CocoMasks
from dataset.readable_name import readable
from dataset.sources.file_kinds import FileKinds
from dataset.sources.folder_names import check_names
from dataset.sources.group_paths import PictureNames
from dataset.sources.listing import NORMAL, describe, listed
from dataset.sources.source_picture import Collection, SourcePicture

IMAGES = "images"
_DOCUMENT = re.compile(r"(annotations/)?(annotations|instances(_[^/]*)?|_annotations\.coco)\.json")


def find_coco(root: Path, files: Sequence[str]) -> CocoDocument | None:
    """Return the COCO document of a folder, None if it has none.

    files: all of the folder, relative to it. Raises ManifestError for a file of such a name that is no JSON, for
    several documents, and for what is wrong with the one that is there.
    """
    found = {}
    for path in filter(_DOCUMENT.fullmatch, files):
        content = read_json(root / path)
        if is_coco(content):
            found[path] = content
    if len(found) > 1:
        raise ManifestError(
            f"{readable(str(root))} holds {len(found)} COCO documents: {named(sorted(found))}. Join them to one "
            "annotations.json; bento-vision splits by itself, by object"
        )
    return check_coco(root / next(iter(found)), found.popitem()[1]) if found else None


def read_coco_folder(
    root: Path, document: CocoDocument, kinds: FileKinds, groups_csv: Path | None, normal_class: str
) -> Collection:
    """List the pictures that a document of `find_coco` names, in `root/images` or else anywhere below `root`.

    kinds: of all files of `root`. normal_class: the class of pictures in which nothing is outlined, or ''. Raises
    ManifestError for pictures without an entry, entries without a picture, names that cannot be kept, and a groups CSV
    that does not fit.
    """
    normal = normal_class or NORMAL
    if normal in document.names:
        raise ManifestError(
            f"{normal} is the class of pictures in which nothing is outlined, and {readable(str(document.path))} has a "
            "category of this name: name the class otherwise (make data DATA=... NORMAL=...)"
        )
    every = sorted([*kinds.pictures, *kinds.closed])
    inside = [path.removeprefix(f"{IMAGES}/") for path in every if path.startswith(f"{IMAGES}/")]
    folder, paths = (root / IMAGES, inside) if inside else (root, every)
    elsewhere = [path for path in every if inside and not path.startswith(f"{IMAGES}/")]
    check_names(folder, paths)
    images = _matched(folder, document, paths, elsewhere)
    pictures, originals, by_mask, boxes = [], {}, {}, {}
    for path, row in listed(folder, paths, groups_csv).items():
        # With the picture's ending, which may be all that tells two pictures apart.
        picture, mask = f"pictures/images/{path}", f"pictures/masks/{path}.png"
        pictures.append(SourcePicture(picture, "", row.group, mask if document.has_outlines else "", row.attributes))
        originals[picture], by_mask[mask] = folder / path, images[path]
        boxes[picture] = boxes_of_image(document, images[path])
    how = "its class the region that has the largest part of it, with outlines of COCO's"
    if not document.has_outlines:
        how = "its class the object that has the largest area of boxes, with boxes of COCO's"
    description = describe(root, how, groups_csv, normal)
    advice = "Repair the document, or the pictures"
    masks = CocoMasks(document, by_mask) if document.has_outlines else None
    return Collection(pictures, description, groups_csv is not None, originals, masks, boxes, advice)


def _matched(
    folder: Path, document: CocoDocument, paths: Sequence[str], elsewhere: Sequence[str]
) -> dict[str, CocoImage]:
    """Return the entry of each picture. Raises ManifestError, all together, for what has no counterpart."""
    names = PictureNames(folder, paths)
    by_name: dict[str, list[str]] = {}
    for known in paths:
        by_name.setdefault(known.rpartition("/")[2], []).append(known)
    matched: dict[str, CocoImage] = {}
    absent, twice = [], []
    for image in document.images:
        alone = by_name.get(image.file_name, [])
        path = names.find(image.file_name) or (alone[0] if len(alone) == 1 else "")
        if not path:
            absent.append(f"{image.file_name} (image {image.number})")
        elif matched.setdefault(path, image) is not image:
            twice.append(f"{path} (images {matched[path].number} and {image.number})")
    without = [*(known for known in paths if known not in matched), *elsewhere]
    shown = readable(str(document.path))
    problems = [
        f"{shown} names {len(files)} {what}: {named(files)}"
        for what, files in (("image(s) that are not there", absent), ("picture(s) twice", twice))
        if files
    ]
    if without:
        problems.append(f"{len(without)} picture(s) have no entry in {shown}: {named(without)}")
    if problems:
        advice = "Add an entry for each picture, without annotations where nothing is to be outlined, or move it away"
        raise ManifestError(f"{'. '.join(problems)}. Names are relative to {readable(str(folder))}. {advice}")
    return matched
