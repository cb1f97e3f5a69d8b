"""Bring pictures of any source into `data/pictures` and list them in `data/pictures.csv`.

    python -m dataset.load --source data/source.yaml --data data [--params params.yaml]

The user's files are copied, never linked nor touched. Everything is checked before anything that was there is
replaced: every picture is decoded once, and all unreadable ones are named together.
"""

import argparse
import hashlib
import logging
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dataset import synthetic_tiles
from dataset.checks import check_classes, check_readable, check_same_bytes
from dataset.description import DESCRIPTION_FILE
from dataset.folder import read_folder
from dataset.likeness import find_objects
from dataset.magnetic_tile import read_magnetic_tile
from dataset.magnetic_tile_download import download_magnetic_tile
from dataset.manifest import ATTRIBUTE_PREFIX, COLUMNS, Manifest, ManifestError
from dataset.near_duplicates import GreyThumbnail, grey_thumbnail
from dataset.params import PARAMS_FILE, DataParams, ParamsError, read_section
from dataset.progress import progress
from dataset.same_pictures import warn_of_contradictions
from dataset.source import DataSource
from dataset.source_picture import Collection, SourcePicture
from runtime.errors import ImageError
from runtime.image import decode_image

PICTURES_DIR = "pictures"
PICTURES_CSV = "pictures.csv"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What decoding tells of one picture; `problem` is why it cannot be read, or ''."""

    sha256: str = ""
    width: int = 0
    height: int = 0
    thumbnail: GreyThumbnail | None = None
    problem: str = ""


def load(source: DataSource, data_dir: Path, params: DataParams) -> Manifest:
    """Fill `data_dir` with pictures, masks, `pictures.csv` and `description.json`; return the table, not yet split.

    Raises ManifestError for everything that is wrong with the pictures, and then leaves `data_dir` as it was.
    """
    staging = data_dir / ".loading"
    shutil.rmtree(staging, ignore_errors=True)
    for kind in ("images", "masks"):
        (staging / PICTURES_DIR / kind).mkdir(parents=True)
    try:
        collection = _collect(source, data_dir, staging)
        remarks: list[str] = []
        manifest = Manifest(tabulate(collection, staging, params, remarks), data_dir)
        shutil.rmtree(data_dir / PICTURES_DIR, ignore_errors=True)
        (staging / PICTURES_DIR).rename(data_dir / PICTURES_DIR)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    manifest.write(data_dir / PICTURES_CSV)
    (data_dir / DESCRIPTION_FILE).unlink(missing_ok=True)  # DVC may have linked it into its cache: never write through
    collection.description.model_copy(update={"likeness": " ".join(remarks)}).write(data_dir)
    return manifest


def _collect(source: DataSource, data_dir: Path, staging: Path) -> Collection:
    if source.path and not Path(source.path).is_dir():
        raise ManifestError(f"{source.path} is not there any more. Choose the pictures again: make data DATA=...")
    if source.source == "synthetic-tiles":
        pictures = synthetic_tiles.draw_synthetic_tiles(staging / PICTURES_DIR)
        return Collection(pictures, synthetic_tiles.DESCRIPTION, has_stated_groups=True)
    if source.source == "magnetic-tile":
        return read_magnetic_tile(Path(source.path) if source.path else download_magnetic_tile(data_dir / "downloads"))
    groups_csv = Path(source.groups) if source.groups else None
    return read_folder(Path(source.path), groups_csv, source.normal_class)


def tabulate(
    collection: Collection, staging: Path, params: DataParams, remarks: list[str] | None = None
) -> pd.DataFrame:
    """Copy the originals below `staging`, decode all and return the manifest's table, splits empty, sorted by path.

    staging: holds the pictures that have no original. remarks: gets what likeness joined, in words. Raises
    ManifestError for whatever is wrong with the pictures.
    """
    pictures = collection.pictures
    facts = _bring(collection, staging)
    check_readable(
        {
            str(collection.originals.get(picture.path, picture.path)): fact.problem
            for picture, fact in zip(pictures, facts, strict=True)
            if fact.problem
        }
    )
    groups = [picture.group for picture in pictures]
    if not collection.has_stated_groups:
        groups = _find_groups(
            pictures, facts, params.near_duplicate_correlation, remarks if remarks is not None else []
        )
    warn_of_contradictions(pictures, [fact.thumbnail for fact in facts if fact.thumbnail is not None])
    table = pd.DataFrame(
        [_row(picture, group, fact) for picture, group, fact in zip(pictures, groups, facts, strict=True)]
    )
    table = table.fillna("").sort_values("path", ignore_index=True)
    check_classes(Counter(table["label"]))
    check_same_bytes(table)
    return table


def _row(picture: SourcePicture, group: str, fact: _Facts) -> dict[str, str | int]:
    values = (picture.path, picture.label, group, "", "", fact.sha256, fact.width, fact.height, picture.mask)
    attributes = {f"{ATTRIBUTE_PREFIX}{name}": text for name, text in picture.attributes.items()}
    return {**dict(zip(COLUMNS, values, strict=True)), **attributes}


def _find_groups(pictures: list[SourcePicture], facts: list[_Facts], threshold: float, remarks: list[str]) -> list[str]:
    """Join near-duplicates, and files of the same bytes, to the groups the source knows; say where that is doubtful."""
    found = find_objects(
        [picture.group for picture in pictures],
        [fact.sha256 for fact in facts],
        [picture.label for picture in pictures],
        [fact.thumbnail for fact in facts if fact.thumbnail is not None],
        threshold,
    )
    for warning in found.warnings:
        logger.warning("%s", warning)
    remarks += [found.summary, *(f"{warning[0].upper()}{warning[1:]}." for warning in found.warnings)]
    return found.groups


def _bring(collection: Collection, staging: Path) -> list[_Facts]:
    """Copy all files below `staging` and decode every picture; return their facts in order."""

    def copy_mask(mask: str) -> None:
        if mask in collection.originals:
            _copy(collection.originals[mask], staging / mask)

    def bring(picture: SourcePicture) -> _Facts:
        target = staging / picture.path
        try:
            if picture.path in collection.originals:
                _copy(collection.originals[picture.path], target)
            copy_mask(picture.mask)
            data = target.read_bytes()
            image = decode_image(data)
        except (OSError, ImageError) as exc:
            return _Facts(problem=str(exc))
        return _Facts(hashlib.sha256(data).hexdigest(), image.shape[1], image.shape[0], grey_thumbnail(image))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = collection.pictures
        return list(progress(pool.map(bring, pictures), "loading", len(pictures), "picture"))


def _copy(original: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(original, target)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dataset.load", description=__doc__.split("\n")[0])
    parser.add_argument("--source", type=Path, default=Path("data/source.yaml"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--params", type=Path, default=PARAMS_FILE)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        params = read_section(args.params, "data", DataParams)
        table = load(DataSource.read(args.source), args.data, params).table
    except (ManifestError, ParamsError) as exc:
        sys.stderr.write(f"error: {exc}\n")
        return 2
    logger.info(
        "loaded %d pictures of %d classes in %d groups into %s",
        len(table),
        table["label"].nunique(),
        table["group"].nunique(),
        args.data / PICTURES_DIR,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
