"""Decode every picture and mask once, where it lies, before anything is copied; then copy those that are taken."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pandas as pd

from dataset.likeness.near_duplicates import GreyThumbnail, grey_thumbnail
from dataset.manifest import ManifestError
from dataset.masks.look import MaskFacts, fitted, look_at_mask
from dataset.masks.source_masks import SourceMasks
from dataset.masks.writing import settled_mask, write_settled
from dataset.outputs.originals import OriginalError, copy_original, read_original, unread_message
from dataset.sources.file_kinds import image_format_of
from dataset.sources.source_picture import Collection, SourcePicture
from project.progress import progress
from runtime.formats.sniff import HEAD_BYTES
from runtime.model.errors import ImageError, ImageErrorCode
from runtime.model.image import decode_with_size

# Facts of a picture need no more; every byte is read all the same, and what the service takes is taken here.
_DECODED_PX = (448, 448)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Facts:
    """What decoding tells of one picture, and of its mask where it has one.

    problem: why it, or its mask, is no picture that can be decoded, or ''. unread: why a file of its cannot be read
    from its disk, or ''.
    """

    sha256: str = ""
    width: int = 0
    height: int = 0
    thumbnail: GreyThumbnail | None = None
    problem: str = ""
    unread: str = ""
    mask: MaskFacts | None = None


def examine(collection: Collection, staging: Path) -> list[Facts]:
    """Decode every picture and return their facts in order.

    staging: holds the pictures that have no original.
    """

    def look_at(picture: SourcePicture) -> Facts:
        data = b""
        try:
            data = read_original(collection.originals.get(picture.path, staging / picture.path))
            image, (height, width) = decode_with_size(data, _DECODED_PX, collection.description.max_value)
        except OriginalError as exc:
            facts = Facts(unread=str(exc))
        except ImageError as exc:
            facts = Facts(problem=_reason(exc, data))
        else:
            facts = Facts(hashlib.sha256(data).hexdigest(), width, height, grey_thumbnail(image))
        return _with_mask(facts, collection.masks, picture, data) if collection.masks and picture.mask else facts

    return list(_in_parallel(look_at, collection.pictures, "checking"))


def _with_mask(facts: Facts, masks: SourceMasks, picture: SourcePicture, data: bytes) -> Facts:
    """Return a picture's facts with those of its mask. data: the picture's file."""
    try:
        mask = look_at_mask(masks, picture.mask, picture.label)
    except OriginalError as exc:
        return facts if facts.unread else replace(facts, unread=f"its mask {masks.shown(picture.mask)}: {exc}")
    except ImageError as exc:
        return facts if facts.problem else replace(facts, problem=f"its mask {masks.shown(picture.mask)}: {exc}")
    if mask and facts.width:
        mask = fitted(mask, facts.width, facts.height, data)
    return replace(facts, mask=mask)


def copy_pictures(collection: Collection, table: pd.DataFrame, staging: Path) -> None:
    """Copy the originals of a table's pictures below `staging`, and write their masks there.

    table: manifest columns `path`, `sha256`, `width` and `height`. Raises ManifestError for files that cannot be read
    any more or have changed since they were decoded, and if a copy cannot be written.
    """
    originals, regions = collection.originals, collection.description.regions
    pictures = {picture.path: picture for picture in collection.pictures}

    def copy(item: tuple[str, str, int, int]) -> tuple[str, str]:
        path, sha256, width, height = item
        try:
            if collection.masks is not None and (mask := pictures[path].mask):
                mask_values = settled_mask(collection.masks, regions, pictures[path], (height, width))
                write_settled(mask_values, staging / mask)
            if (
                path in originals
                and hashlib.sha256(copy_original(originals[path], staging / path)).hexdigest() != sha256
            ):
                return str(originals[path]), "it has changed while it was loaded"
        except OriginalError as exc:
            return str(originals.get(path, path)), str(exc)
        return path, ""

    items = list(table[["path", "sha256", "width", "height"]].itertuples(index=False, name=None))
    problems = {path: problem for path, problem in _in_parallel(copy, items, "copying") if problem}
    if problems:
        raise ManifestError(unread_message(problems))


def _in_parallel(work: Callable[[Item], Result], items: Sequence[Item], what: str) -> Iterator[Result]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from progress(pool.map(work, items), what, len(items), "picture")


def _reason(problem: ImageError, data: bytes) -> str:
    """Name the format of a picture in a format that is not read, if the error does not."""
    name = image_format_of(data[:HEAD_BYTES]) if problem.code == ImageErrorCode.UNSUPPORTED else ""
    return f"{name}: {problem}" if name and name not in str(problem) else str(problem)
