"""Settle, once all masks have been read, which regions there are and which class each picture is of."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dataset.annotations import BACKGROUND, IGNORED
from dataset.checks import named
from dataset.examine import Facts
from dataset.manifest import ManifestError
from dataset.sources.source_picture import Collection, SourcePicture

logger = logging.getLogger(__name__)


def settle_masks(collection: Collection, facts: Sequence[Facts]) -> Collection:
    """Return the collection with a class for the pictures whose mask says it.

    facts: of `examine`, in the order of the pictures. Raises ManifestError for masks that cannot be used, all of them
    together.
    """
    masks = collection.masks
    if masks is None:
        return collection
    pairs = list(zip(collection.pictures, facts, strict=True))
    normal = collection.description.normal_class
    reasons = [(picture, _problem(picture, fact, normal)) for picture, fact in pairs]
    problems = sorted(f"{masks.shown(picture.mask)} ({reason})" for picture, reason in reasons if reason)
    if problems:
        advice = collection.mask_advice
        raise ManifestError(f"{len(problems)} mask(s) cannot be used: {named(problems)}. {advice}")
    if remark := masks.remark():
        logger.warning("%s", remark)
    pictures = [replace(picture, label=_label(picture, fact, masks.names, normal)) for picture, fact in pairs]
    if collection.boxes is None and all(picture.label for picture, _ in pairs):
        return collection
    labels = {picture.label for picture in pictures} - {""}
    _check_labels(labels, len(pictures), normal)
    description = collection.description.model_copy(update={"normal_class": normal if normal in labels else ""})
    return replace(collection, pictures=pictures, description=description)


def with_regions(collection: Collection, facts: Sequence[Facts], kept: Iterable[str]) -> Collection:
    """Return the collection with the regions in its description that masks of the pictures kept mark.

    kept: paths of pictures.
    """
    if collection.masks is None:
        return collection
    paths = set(kept)
    marking = [fact for picture, fact in zip(collection.pictures, facts, strict=True) if picture.path in paths]
    regions = tuple(sorted({collection.masks.names[value - 1] for fact in marking for value in _regions(fact)}))
    absent = sorted({*collection.masks.names} - {*regions} - {picture.label for picture in collection.pictures})
    if absent:
        logger.warning("no mask marks %s, which is named as a region: it is left out", named(absent))
    return replace(collection, description=collection.description.model_copy(update={"regions": regions}))


def _problem(picture: SourcePicture, fact: Facts, normal: str) -> str:
    """Say why a picture's mask cannot be used, '' if it can."""
    if fact.mask is None:
        return ""
    if fact.mask.problem:
        return fact.mask.problem
    if picture.label and picture.label == normal and _regions(fact):
        return f"it marks {sum(_regions(fact).values())} pixels, and {normal}, its picture's class, is the normal one"
    if not picture.label and set(fact.mask.areas) == {IGNORED}:
        return "all of it is ignored, so that it does not say which class its picture is of"
    return ""


def _label(picture: SourcePicture, fact: Facts, names: Sequence[str], normal: str) -> str:
    """Return the picture's class, or else the region of the largest area, the first by name of several as large."""
    if picture.label or fact.mask is None:  # without a mask, it is refused or left out as a picture
        return picture.label
    areas = _regions(fact)
    return names[max(sorted(areas), key=areas.__getitem__) - 1] if areas else normal


def _regions(fact: Facts) -> dict[int, int]:
    """Return the pixels of every region in a picture's mask, by its value."""
    areas = fact.mask.areas if fact.mask else {}
    return {value: area for value, area in areas.items() if value not in (BACKGROUND, IGNORED)}


def _check_labels(labels: set[str], num_pictures: int, normal: str) -> None:
    if len(labels) < 2:
        raise ManifestError(
            f"all {num_pictures} picture(s) are of the class {named(sorted(labels))}, and at least 2 classes are "
            f"needed. A picture's class is the region that has the largest part of it, and {normal} where nothing is "
            "marked: add pictures of others, with their masks"
        )
