"""Bring pictures of any source into `data/pictures` and list them in `data/pictures.csv`.

    python -m dataset.load --source data/source.yaml --data data [--params params.yaml]

The user's files are copied, never linked nor touched. Everything is checked before anything that was there is
replaced: that what is there was written by a run, that every picture decodes; all unreadable ones are named together.
Nothing is copied before all pictures are decoded where they lie.
"""

import argparse
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd

from dataset.box_formats.hashes import with_box_hashes
from dataset.box_formats.settle import settle_boxes
from dataset.box_formats.writing import with_boxes
from dataset.checks import check_classes, check_same_bytes
from dataset.data_source import DataSource
from dataset.deep_pictures import RangeParams, find_max_value
from dataset.description import DESCRIPTION_FILE
from dataset.examine import Facts, copy_pictures, examine
from dataset.label_studio.read import read_label_studio
from dataset.likeness.objects import find_objects
from dataset.likeness.same_pictures import warn_of_contradictions
from dataset.manifest import ATTRIBUTE_PREFIX, COLUMNS, Manifest, ManifestError
from dataset.masks.hashes import with_mask_hashes
from dataset.masks.settle import settle_masks, with_regions
from dataset.outputs.disk import write_problem
from dataset.outputs.overlap import check_folder, check_nothing_foreign
from dataset.outputs.pipeline import (
    IMAGES_DIR,
    LISTS,
    MASKS_DIR,
    PICTURES_CSV,
    PICTURES_DIR,
    STAGING_DIR,
    places_of_runs,
)
from dataset.outputs.replacing import alone, replace_outputs
from dataset.params import DataParams
from dataset.readable_name import readable
from dataset.sources.folder import read_folder
from dataset.sources.magnetic_tile import read_magnetic_tile
from dataset.sources.magnetic_tile_download import download_magnetic_tile
from dataset.sources.skipping import Skipping
from dataset.sources.source_picture import Collection, SourcePicture
from dataset.sources.synthetic import synthetic_tiles
from dataset.splitting.leaks import check_given_leaks
from project.command import command
from project.params import ParamsError, add_params_option, read_section

logger = logging.getLogger(__name__)


def load(
    source: DataSource,
    data_dir: Path,
    params: DataParams,
    max_value: int | Literal["auto"] = "auto",
    noted: Path | None = None,
) -> Manifest:
    """Fill `data_dir` with pictures, masks, boxes and their lists; return the table of pictures, not yet split.

    max_value: white in pictures of 16 bits that do not state it, as in `dataset/deep_pictures.py`.
    noted: where `source` was read; what another run noted there since would be DVC's input to these pictures.
    Raises ManifestError for everything that is wrong with the pictures, for what a person put where they go, and for a
    disk that cannot be written; then `data_dir` is left as it was.
    """
    outputs = [data_dir / name for name in (PICTURES_DIR, PICTURES_CSV, DESCRIPTION_FILE)]
    lists = [data_dir / name for name in LISTS]
    source.check_apart(places_of_runs(data_dir))
    check_folder(data_dir)
    staging = data_dir / STAGING_DIR
    skipping = Skipping(source.skip, data_dir)
    try:
        with alone(data_dir):
            if noted and DataSource.read(noted) != source:
                raise ManifestError(f"{noted} names other pictures than when this run began: run it again")
            check_nothing_foreign([*outputs, *lists])
            try:
                manifest = _stage(source, data_dir, staging, params, max_value, skipping)
                check_nothing_foreign([*outputs, *lists], by_content=False)  # what came in the meantime
                known = dict(zip(manifest.table["path"], manifest.table["sha256"], strict=True))
                replace_outputs(outputs, staging, known)
                skipping.write()
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as exc:
        raise ManifestError(write_problem(exc, Path(str(exc.filename or data_dir)))) from exc
    return Manifest(manifest.table, data_dir)


def _stage(
    source: DataSource,
    data_dir: Path,
    staging: Path,
    params: DataParams,
    max_value: int | Literal["auto"],
    skipping: Skipping,
) -> Manifest:
    """Make below `staging` all that shall lie in `data_dir`."""
    shutil.rmtree(staging, ignore_errors=True)
    for kind in (IMAGES_DIR, MASKS_DIR):
        (staging / PICTURES_DIR / kind).mkdir(parents=True)
    collection = _collect(source, data_dir, staging)
    files = {p.path: collection.originals.get(p.path, staging / p.path) for p in collection.pictures}
    description = collection.description.model_copy(update={"max_value": find_max_value(files, max_value)})
    collection = replace(collection, description=description)
    facts = examine(collection, staging)
    collection = settle_masks(settle_boxes(collection, facts), facts)
    remarks: list[str] = []
    table = tabulate(collection, facts, params, remarks, skipping)
    shown = {path: readable(str(file)) for path, file in collection.originals.items()}
    if given := check_given_leaks(table, shown, params.max_leak_share):
        logger.warning("%s", given)
    collection = with_regions(collection, facts, table["path"])
    copy_pictures(collection, table, staging)
    collection = with_boxes(collection, table, staging)
    manifest = Manifest(with_box_hashes(with_mask_hashes(table, staging), staging), staging)
    manifest.write(staging / PICTURES_CSV)
    told = {"summary": f"{description.summary}{skipping.summary()} {given}".rstrip(), "likeness": " ".join(remarks)}
    collection.description.model_copy(update=told).write(staging)
    return manifest


def _collect(source: DataSource, data_dir: Path, staging: Path) -> Collection:
    if source.path and not Path(source.path).exists():
        raise ManifestError(f"{source.path} is not there any more. Choose the pictures again: make data DATA=...")
    if source.source == "synthetic-tiles":
        pictures = synthetic_tiles.draw_synthetic_tiles(staging / PICTURES_DIR)
        return Collection(pictures, synthetic_tiles.DESCRIPTION, has_stated_groups=True)
    if source.source == "magnetic-tile":
        return read_magnetic_tile(Path(source.path) if source.path else download_magnetic_tile(data_dir / "downloads"))
    groups_csv, labels_csv = (Path(file) if file else None for file in (source.groups, source.labels))
    if source.source == "label-studio":
        return read_label_studio(Path(source.path), groups_csv, source.normal_class)
    return read_folder(
        Path(source.path), groups_csv, source.normal_class, source.classes, source.skip, source.split, labels_csv
    )


def tabulate(
    collection: Collection,
    facts: Sequence[Facts],
    params: DataParams,
    remarks: list[str] | None = None,
    skipping: Skipping | None = None,
) -> pd.DataFrame:
    """Return the manifest's table, sorted by path; splits are empty but where the source gives them.

    facts: of `examine`, in the order of the pictures. remarks: gets what likeness joined, in words. skipping: what may
    be left out; nothing by default. Raises ManifestError for whatever is wrong with the pictures.
    """
    skipping = skipping or Skipping()
    kept = skipping.readable(collection, facts)
    pictures, facts = [collection.pictures[at] for at in kept], [facts[at] for at in kept]
    groups = [picture.group for picture in pictures]
    if not collection.has_stated_groups:
        groups = _find_groups(
            pictures, facts, params.near_duplicate_correlation, remarks if remarks is not None else []
        )
    # Nothing is copied yet, so messages name the person's own files.
    originals = {path: readable(str(file)) for path, file in collection.originals.items()}
    shown = [replace(picture, path=originals.get(picture.path, picture.path)) for picture in pictures]
    warn_of_contradictions(shown, [fact.thumbnail for fact in facts if fact.thumbnail is not None])
    table = pd.DataFrame(
        [_row(picture, group, fact) for picture, group, fact in zip(pictures, groups, facts, strict=True)]
    )
    table = table.fillna("").sort_values("path", ignore_index=True)
    check_classes(Counter(table["label"]))
    check_same_bytes(table.assign(path=[originals.get(path, path) for path in table["path"]]))
    return skipping.without_rare(collection, table)


def _row(picture: SourcePicture, group: str, fact: Facts) -> dict[str, str | int]:
    values = (picture.path, picture.label, group, picture.split, "", fact.sha256, fact.width, fact.height, picture.mask)
    attributes = {f"{ATTRIBUTE_PREFIX}{name}": text for name, text in picture.attributes.items()}
    return {**dict(zip(COLUMNS, values, strict=True)), **attributes}


def _find_groups(pictures: list[SourcePicture], facts: list[Facts], threshold: float, remarks: list[str]) -> list[str]:
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


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", type=Path, default=Path("data/source.yaml"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    add_params_option(parser)


@command(_arguments, known=(ManifestError, ParamsError), speaker="error")
def main(args: argparse.Namespace) -> None:
    params = read_section(args.params, "data", DataParams)
    max_value = read_section(args.params, "contract", RangeParams).max_value
    table = load(DataSource.read(args.source), args.data, params, max_value, args.source).table
    logger.info(
        "loaded %d pictures of %d classes in %d groups into %s",
        len(table),
        table["label"].nunique(),
        table["group"].nunique(),
        args.data / PICTURES_DIR,
    )


if __name__ == "__main__":
    sys.exit(main())
