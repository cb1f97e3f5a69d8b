"""Settle, once all masks have been read, which regions there are, and refuse masks that do not fit their pictures."""

from collections.abc import Sequence
from dataclasses import replace

from dataset.annotations import BACKGROUND, IGNORED
from dataset.checks import named
from dataset.examine import Facts
from dataset.manifest import ManifestError
from dataset.sources.source_picture import Collection, SourcePicture


def settle_masks(collection: Collection, facts: Sequence[Facts]) -> Collection:
    """Return the collection with the regions in its description that masks mark.

    facts: of `examine`, in the order of the pictures. Raises ManifestError for masks that cannot be used, all of them
    together.
    """
    if collection.masks is None:
        return collection
    problems = {
        mask_file(collection, picture): problem
        for picture, fact in zip(collection.pictures, facts, strict=True)
        if (problem := _problem(fact))
    }
    if problems:
        reasons = [f"{file} ({reason})" for file, reason in sorted(problems.items())]
        raise ManifestError(f"{len(reasons)} mask(s) cannot be used: {named(reasons)}. Repair or remove them")
    values = {value for fact in facts for value in (fact.mask.areas if fact.mask else {})} - {BACKGROUND, IGNORED}
    regions = tuple(sorted(collection.masks.names[value - 1] for value in values))
    return replace(collection, description=collection.description.model_copy(update={"regions": regions}))


def mask_file(collection: Collection, picture: SourcePicture) -> str:
    """Return the name that a message has for a picture's mask: the user's file, where there is one."""
    return str(collection.originals.get(picture.mask, picture.mask))


def _problem(fact: Facts) -> str:
    if fact.mask is None or not fact.width:
        return ""
    if fact.mask.problem:
        return fact.mask.problem
    if (fact.mask.width, fact.mask.height) == (fact.width, fact.height):
        return ""
    return f"{fact.mask.width} x {fact.mask.height} pixels, and its picture {fact.width} x {fact.height}"
