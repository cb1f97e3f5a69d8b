"""Find the file that a task of Label Studio shows: it lies beside the export, and nothing is fetched."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from dataset.manifest import ManifestError
from dataset.masks.coco import read_json
from dataset.sources.file_kinds import tell_kinds

PATH_KEY = "path"
"""Key of a task's data that names the picture as its owner does, relative to the owner's folder."""
_IMAGE_KEY = "image"


def address_of(data: Mapping[str, Any], task: int) -> str:
    """Return the address of a task's picture: under `image`, or else the only one that ends as a picture does.

    Raises ManifestError if there is none, or several.
    """
    if isinstance(data.get(_IMAGE_KEY), str) and data[_IMAGE_KEY]:
        return str(data[_IMAGE_KEY])
    found = [
        value
        for key, value in data.items()
        if key != PATH_KEY and isinstance(value, str) and tell_kinds(Path(), [_relative(value)]).pictures
    ]
    if len(found) != 1:
        raise ManifestError(
            f"task {task} names {len(found)} pictures in its data, and one is needed: call its key `{_IMAGE_KEY}`"
        )
    return found[0]


def find_picture(address: str, folder: Path) -> Path | None:
    """Return the file of a picture, None if it is nowhere.

    address: such as `/data/local-files/?d=pictures/a.png`, `/data/upload/1/0b5f-a.png` or `s3://bucket/a.png`. folder:
    of the export. The path of the address is looked for in there and in the folder above it, then its name alone in
    `images/` and in `folder`: as Label Studio's exports with pictures have it.
    """
    relative = _relative(address)
    if not relative:
        return None
    name = PurePosixPath(relative).name
    places = [folder / relative, folder.parent / relative, folder / "images" / name, folder / name]
    return next((place for place in places if place.is_file()), None)


def pictures_of_export(path: Path) -> list[Path]:
    """Return the files of the pictures that an export names, as far as they are there.

    Raises ManifestError for a file that is no JSON, and for tasks that do not say which picture they show.
    """
    document = read_json(path)
    entries = [one for one in document if isinstance(one, dict)] if isinstance(document, list) else []
    data = [(one["data"], one.get("id", 0)) for one in entries if isinstance(one.get("data"), dict)]
    found = (find_picture(address_of(facts, task), path.parent) for facts, task in data)
    return [file for file in found if file]


def picture_name(data: Mapping[str, Any], address: str) -> str:
    """Return what the picture is called in the data set: as its owner called it, or else as its address does."""
    stated = data.get(PATH_KEY)
    return (_inside(stated) if isinstance(stated, str) else "") or _relative(address)


def _relative(address: str) -> str:
    """Return the path that an address names, relative to wherever pictures lie; '' if it leads out of there."""
    parts = urlsplit(address)
    if stated := parse_qs(parts.query).get("d"):
        return _inside(stated[0])
    return _inside(unquote(parts.path).removeprefix("/data/").removeprefix("/"))


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    return "" if path.startswith("/") or ".." in parts or "\0" in path else "/".join(parts)
