"""Decode every picture and mask once, where it lies, before anything is copied; then copy those that are taken."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from dataset.likeness.near_duplicates import GreyThumbnail, grey_thumbnail
from dataset.manifest import ManifestError
from dataset.masks.source_masks import MaskError, SourceMasks
from dataset.masks.writing import write_settled
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
class MaskFacts:
    """What a mask holds: its size and the pixels of each value that occurs. problem: why it cannot be used, or ''."""

    width: int = 0
    height: int = 0
    areas: Mapping[int, int] = field(default_factory=dict)
    problem: str = ""


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
            return Facts(unread=str(exc))
        except ImageError as exc:
            return Facts(problem=_reason(exc, data))
        mask = None
        if collection.masks is not None and picture.mask:
            file = collection.originals.get(picture.mask, Path(picture.mask))
            try:
                mask = _facts_of_mask(collection.masks, picture)
            except OriginalError as exc:
                return Facts(unread=f"its mask {file}: {exc}")
            except ImageError as exc:
                return Facts(problem=f"its mask {file}: {exc}")
        return Facts(hashlib.sha256(data).hexdigest(), width, height, grey_thumbnail(image), mask=mask)

    return list(_in_parallel(look_at, collection.pictures, "checking"))


def _facts_of_mask(masks: SourceMasks, picture: SourcePicture) -> MaskFacts:
    try:
        mask = masks.read(picture.mask, picture.label)
    except MaskError as exc:
        return MaskFacts(problem=str(exc))
    counts = np.bincount(mask.ravel(), minlength=256)
    height, width = mask.shape
    return MaskFacts(width, height, {int(value): int(counts[value]) for value in np.flatnonzero(counts)})


def copy_pictures(collection: Collection, table: pd.DataFrame, staging: Path) -> None:
    """Copy the originals of a table's pictures below `staging`, and write their masks there.

    table: manifest columns `path` and `sha256`. Raises ManifestError for files that cannot be read any more or have
    changed since they were decoded, and if a copy cannot be written.
    """
    originals = collection.originals
    pictures = {picture.path: picture for picture in collection.pictures}

    def copy(item: tuple[str, str]) -> tuple[str, str]:
        path, sha256 = item
        try:
            if collection.masks is not None and (mask := pictures[path].mask):
                regions = collection.description.regions
                write_settled(collection.masks, regions, mask, pictures[path].label, staging / mask)
            if (
                path in originals
                and hashlib.sha256(copy_original(originals[path], staging / path)).hexdigest() != sha256
            ):
                return str(originals[path]), "it has changed while it was loaded"
        except OriginalError as exc:
            return str(originals.get(path, path)), str(exc)
        return path, ""

    items = list(table[["path", "sha256"]].itertuples(index=False, name=None))
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
