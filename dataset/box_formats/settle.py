"""Settle, once all pictures have been decoded, where a source's boxes lie and which class its pictures are of."""

from collections.abc import Sequence
from dataclasses import replace

from dataset.box_formats.source_boxes import BoxError, Corners, SourceBox, StatedBoxes, check_corners
from dataset.checks import named
from dataset.examine import Facts
from dataset.manifest import ManifestError
from dataset.masks.look import stored_size
from dataset.outputs.originals import OriginalError, read_original
from dataset.sources.source_picture import Collection, SourcePicture


def settle_boxes(collection: Collection, facts: Sequence[Facts]) -> Collection:
    """Return the collection with stated boxes in pixels of their pictures, and a class for those that they say it of.

    facts: of `examine`, in the order of the pictures. A picture without a class is of the object that has the largest
    area of boxes, of ignored ones where there are no others, and of the normal class where there are none; if it has a
    mask, boxes say its class only where the mask marks nothing. Raises ManifestError for boxes that cannot be used, all
    of them together.
    """
    if collection.boxes is None:
        return collection
    settled: dict[str, StatedBoxes] = {}
    problems: list[str] = []
    for picture, fact in zip(collection.pictures, facts, strict=True):
        stated = collection.boxes[picture.path]
        if not fact.width or (fact.mask is not None and fact.mask.problem):
            continue  # refused, or left out, as a picture; or refused with its mask
        if problem := _size_problem(stated, fact, collection, picture):
            problems.append(problem)
        else:
            settled[picture.path] = _in_pixels(stated, fact.width, fact.height, problems)
    if problems:
        advice = collection.mask_advice
        raise ManifestError(f"{len(problems)} box(es) or size(s) cannot be used: {named(problems)}. {advice}")
    pictures = [_labelled(picture, fact, settled) for picture, fact in zip(collection.pictures, facts, strict=True)]
    collection = replace(collection, pictures=pictures, boxes=settled)
    return collection if collection.masks else _with_normal_class(collection, facts)


def largest_object(boxes: Sequence[SourceBox]) -> str:
    """Return the object of the largest area, the first by name of several as large; '' of no boxes."""
    areas: dict[str, float] = {}
    for box in [box for box in boxes if not box.ignored] or boxes:
        left, top, right, bottom = box.corners
        areas[box.object] = areas.get(box.object, 0.0) + (right - left) * (bottom - top)
    return max(sorted(areas), key=areas.__getitem__) if areas else ""


def _labelled(picture: SourcePicture, fact: Facts, settled: dict[str, StatedBoxes]) -> SourcePicture:
    mask_says = fact.mask is not None and fact.mask.num_regions > 0
    if picture.label or mask_says or picture.path not in settled:
        return picture
    return replace(picture, label=largest_object(settled[picture.path].boxes))


def _with_normal_class(collection: Collection, facts: Sequence[Facts]) -> Collection:
    """Give pictures without a box the normal class. Raises ManifestError if all that can be read are of one class."""
    description = collection.description
    normal = description.normal_class
    pictures = [
        replace(picture, label=picture.label or normal) if fact.width else picture
        for picture, fact in zip(collection.pictures, facts, strict=True)
    ]
    labels = sorted({picture.label for picture in pictures} - {""})
    if len(labels) < 2:
        raise ManifestError(
            f"all {len(pictures)} picture(s) are of the class {named(labels)}, and at least 2 classes are needed. A "
            f"picture's class is the object that has the largest area of boxes, and {normal} where there is none: add "
            "pictures of others, with their boxes, or some of nothing"
        )
    stated = description.model_copy(update={"normal_class": normal if normal in labels else ""})
    return replace(collection, pictures=pictures, description=stated)


def _size_problem(stated: StatedBoxes, fact: Facts, collection: Collection, picture: SourcePicture) -> str:
    """Say how a stated size differs from the picture's, '' if it does not."""
    size = fact.width, fact.height
    if stated.size is None or stated.size == size:
        return ""
    shown = _place(stated.shown, stated.size_place)
    own = f"its size is {stated.size[0]} x {stated.size[1]} pixels"
    if stated.size == size[::-1] and _stored(collection, picture) == stated.size:
        return (
            f"{shown} ({own}, as its picture is stored, which its EXIF orientation turns to {size[0]} x {size[1]}: "
            "boxes are of the upright picture)"
        )
    return f"{shown} ({own}, and its picture {size[0]} x {size[1]})"


def _stored(collection: Collection, picture: SourcePicture) -> tuple[int, int] | None:
    try:
        return stored_size(read_original(collection.originals[picture.path]))
    except OriginalError:
        return None


def _in_pixels(stated: StatedBoxes, width: int, height: int, problems: list[str]) -> StatedBoxes:
    across, down = (width, height) if stated.in_shares else (1, 1)
    boxes = []
    for box in stated.boxes:
        left, top, right, bottom = box.corners
        corners: Corners = left * across, top * down, right * across, bottom * down
        try:
            boxes.append(replace(box, corners=check_corners(corners, width, height)))
        except BoxError as exc:
            problems.append(f"{_place(stated.shown, box.place)} ({exc})")
    return replace(stated, boxes=tuple(boxes), in_shares=False)


def _place(shown: str, place: str) -> str:
    return f"{shown}, {place}" if place else shown
