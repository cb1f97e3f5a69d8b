"""Take a folder of pictures in for labelling: copies under their hashes, which Label Studio shows from there."""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from annotation.home import PICTURES
from dataset.checks import named
from dataset.label_studio.picture_files import PATH_KEY
from dataset.manifest import ManifestError
from dataset.outputs.originals import OriginalError, read_original
from dataset.readable_name import readable
from dataset.sources.file_kinds import tell_kinds
from dataset.sources.file_tree import read_tree
from dataset.sources.folder_names import check_names
from project.progress import progress
from project.write_whole import write_whole
from runtime.formats.sniff import HEAD_BYTES, sniff
from runtime.model.errors import ImageError
from runtime.model.image import decode_image

logger = logging.getLogger(__name__)

HASH_KEY = "sha256"
"""Key of a task's data by which a picture is known again, wherever its file went."""
_SHOWN_BY_BROWSERS = frozenset({"JPEG", "PNG", "WebP", "BMP"})
_HASH_CHARACTERS = 16
_UNLIKE_CHARACTERS = 8  # of the hash, behind the name of a picture whose name another one has


@dataclass(frozen=True, slots=True)
class TakenPicture:
    """A picture taken in. file: the copy.

    path: as its owner calls it, relative to the folder; with a part of its hash where another picture has that name.
    """

    path: str
    sha256: str
    file: Path

    def data(self) -> dict[str, Any]:
        """Return the data of its task."""
        address = f"/data/local-files/?d={quote(f'{PICTURES}/{self.file.name}')}"
        return {"image": address, PATH_KEY: self.path, HASH_KEY: self.sha256}


def take_pictures(
    folder: Path, home: Path, known: Iterable[Mapping[str, Any]]
) -> tuple[list[TakenPicture], dict[str, str]]:
    """Copy the pictures below `folder` that are new into `home`; return them in order, and why others were left out.

    known: the data of the tasks that there are. Of files of the same bytes the first is taken. Raises ManifestError
    for a folder that is not there or holds no picture, and for names that cannot be kept.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder} is no folder: name one with pictures (make labels PICTURES=folder)")
    if folder.resolve().is_relative_to(home.resolve()):
        raise ManifestError(f"{folder} lies in {home}, where labelling is kept: name the folder of your pictures")
    kinds = tell_kinds(folder, read_tree(folder).files)
    paths = sorted([*kinds.pictures, *kinds.closed])
    if not paths:
        raise ManifestError(
            f"there is no picture in {folder}: name a folder with pictures (make labels PICTURES=folder)"
        )
    check_names(folder, paths)
    tasks, taken, left_out = list(known), [], {}
    seen = {str(data.get(HASH_KEY)) for data in tasks}
    names = {str(data.get(PATH_KEY)).casefold() for data in tasks}
    for path in progress(paths, "taking pictures in", unit="picture"):
        try:
            data = read_original(folder / path)
            sha256 = hashlib.sha256(data).hexdigest()
            if sha256 in seen:
                continue
            _check(data)
        except (OriginalError, ImageError, _NotShownError) as exc:
            left_out[path] = str(exc)
            continue
        seen.add(sha256)
        file = home / PICTURES / f"{sha256[:_HASH_CHARACTERS]}-{Path(path).name}"
        write_whole(file, data)
        name = _unlike(path, sha256) if path.casefold() in names else path
        names.add(name.casefold())
        taken.append(TakenPicture(name, sha256, file))
    if left_out:
        reasons = [f"{readable(path)} ({why})" for path, why in left_out.items()]
        logger.warning("%d picture(s) cannot be labelled and are left out: %s", len(left_out), named(reasons))
    return taken, left_out


def _unlike(path: str, sha256: str) -> str:
    """Return another name for a picture: it was changed since, or comes from another folder."""
    whole = PurePosixPath(path)
    return str(whole.with_name(f"{whole.stem}-{sha256[:_UNLIKE_CHARACTERS]}{whole.suffix}"))


class _NotShownError(ValueError):
    """A picture in a format that people may not see in their browser."""


def _check(data: bytes) -> None:
    """Raise ImageError for what cannot be decoded, _NotShownError for what people would not see."""
    found = sniff(data[:HEAD_BYTES])
    decode_image(data)
    if found not in _SHOWN_BY_BROWSERS:
        shown = ", ".join(sorted(_SHOWN_BY_BROWSERS))
        raise _NotShownError(f"{found} is not among what every browser shows ({shown}): convert it to PNG")
