"""Decode every picture once, where it lies, before anything is copied; then copy those that are taken."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

from dataset.likeness.near_duplicates import GreyThumbnail, grey_thumbnail
from dataset.manifest import ManifestError
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
    """What decoding tells of one picture.

    problem: why it is no picture that can be decoded, or ''. unread: why its file cannot be read from its disk, or ''.
    """

    sha256: str = ""
    width: int = 0
    height: int = 0
    thumbnail: GreyThumbnail | None = None
    problem: str = ""
    unread: str = ""


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
        return Facts(hashlib.sha256(data).hexdigest(), width, height, grey_thumbnail(image))

    return list(_in_parallel(look_at, collection.pictures, "checking"))


def copy_pictures(collection: Collection, table: pd.DataFrame, staging: Path) -> None:
    """Copy the originals of a table's pictures, and of their masks, below `staging`.

    table: manifest columns `path`, `mask` and `sha256`. Raises ManifestError for files that cannot be read any more or
    have changed since they were decoded, and if a copy cannot be written.
    """
    originals = collection.originals

    def copy(item: tuple[str, str, str]) -> tuple[str, str]:
        path, mask, sha256 = item
        try:
            if mask in originals:
                copy_original(originals[mask], staging / mask)
            if (
                path in originals
                and hashlib.sha256(copy_original(originals[path], staging / path)).hexdigest() != sha256
            ):
                return str(originals[path]), "it has changed while it was loaded"
        except OriginalError as exc:
            return str(originals.get(path, path)), str(exc)
        return path, ""

    items = list(table[["path", "mask", "sha256"]].itertuples(index=False, name=None))
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
