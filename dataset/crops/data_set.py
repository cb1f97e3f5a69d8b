"""A data set of crops, one of each annotated box: divided as its pictures are, and put in place whole."""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from dataset.boxes import Boxes, objects_of
from dataset.checks import check_every_class_in_every_split, named
from dataset.crops.cutting import Cut, Cutter, Row
from dataset.description import DESCRIPTION_FILE, DataDescription, read_description
from dataset.manifest import ATTRIBUTE_PREFIX, COLUMNS, PICTURE_SHA256, Manifest, ManifestError
from dataset.outputs.disk import write_problem
from dataset.outputs.overlap import check_nothing_foreign
from dataset.outputs.pipeline import PICTURES_DIR, STAGING_DIR
from dataset.outputs.replacing import alone, replace_outputs
from dataset.params import CropParams
from project.progress import progress

MANIFEST_CSV = "manifest.csv"

logger = logging.getLogger(__name__)


def cut_crops(manifest: Manifest, out_dir: Path, params: CropParams) -> Manifest:
    """Fill `out_dir` with crops, `manifest.csv` and `description.json`; return the table.

    Raises ManifestError for data without boxes, for fewer than two objects, for the folder of the pictures themselves,
    for pictures that can no longer be read, for an object without a crop on a side of the split, and for what a person
    put where crops go; then `out_dir` is left as it was.
    """
    _check_objects(manifest)
    if out_dir.resolve() == manifest.root.resolve():
        raise ManifestError(f"{out_dir} holds the pictures that crops are cut from: name another folder by --out")
    outputs = [out_dir / name for name in (PICTURES_DIR, MANIFEST_CSV, DESCRIPTION_FILE)]
    staging = out_dir / STAGING_DIR
    try:
        with alone(out_dir):
            check_nothing_foreign(outputs)
            try:
                crops = _stage(manifest, staging, params)
                check_nothing_foreign(outputs, by_content=False)  # what came in the meantime
                known = dict(zip(crops.table["path"], crops.table["sha256"], strict=True))
                replace_outputs(outputs, staging, known)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as exc:
        raise ManifestError(write_problem(exc, Path(str(exc.filename or out_dir)))) from exc
    return Manifest(crops.table, out_dir)


def _stage(manifest: Manifest, staging: Path, params: CropParams) -> Manifest:
    """Make below `staging` all that shall lie in the folder of crops."""
    shutil.rmtree(staging, ignore_errors=True)
    description = read_description(manifest.root)
    cutter = Cutter(manifest.root, staging, description.objects, params, description.max_value)
    cuts = list(_cut_all(manifest, cutter))
    columns = [*COLUMNS, PICTURE_SHA256, *_attributes(manifest)]
    table = pd.DataFrame([row for cut in cuts for row in cut.rows], columns=columns)
    table = table.sort_values("path", ignore_index=True)
    if too_small := sum(cut.too_small for cut in cuts):
        logger.warning("%d box(es) are too small for a crop that is classified, and are left out", too_small)
    _check_crops(table, description.objects)
    crops = Manifest(table, staging)
    crops.write(staging / MANIFEST_CSV)
    _described(description, params).write(staging)
    return crops


def _cut_all(manifest: Manifest, cutter: Cutter) -> Iterator[Cut]:
    boxes = Boxes(manifest)
    rows: list[Row] = manifest.table.to_dict("records")

    def cut(at: int) -> Cut:
        return cutter.cut(rows[at], boxes.in_picture(at))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from progress(pool.map(cut, range(len(rows))), "cutting", len(rows), "picture")


def _attributes(manifest: Manifest) -> list[str]:
    return [f"{ATTRIBUTE_PREFIX}{name}" for name in manifest.attributes]


def _described(description: DataDescription, params: CropParams) -> DataDescription:
    moved = (
        f" For training, each box is cut out {params.jittered} more time(s) with sides moved by up to "
        f"{100 * params.jitter:g}% of its own, as a detector's boxes are not the true ones."
    )
    summary = (
        f"Crops, one of each annotated box, with {100 * params.margin:g}% of its sides around it."
        f"{moved if params.jitter and params.jittered else ''} The pictures: {description.summary}"
    )
    told = {
        "name": f"{description.name}-crops",
        "title": f"{description.title}: crops",
        "summary": summary,
        "normal_class": "",
        "compare_protocols": False,
        "regions": (),
        "objects": (),
        "crop_margin": params.margin,
    }
    return description.model_copy(update=told)


def _check_objects(manifest: Manifest) -> None:
    """Refuse data that no classifier of crops is needed for."""
    objects = objects_of(manifest)
    if not objects:
        raise ManifestError(f"the pictures in {manifest.root} have no boxes to cut crops from: docs/FOLDERS.md")
    if len(objects) < 2:
        raise ManifestError(
            f"the boxes hold {named(objects)} alone, and a classifier of crops tells at least 2 objects apart: the "
            "detector's own answer is all there is to say"
        )


def _check_crops(table: pd.DataFrame, objects: tuple[str, ...]) -> None:
    """Refuse crops that a classifier cannot be trained and measured on."""
    counts = Counter(table["label"])
    if absent := [name for name in objects if not counts[name]]:
        raise ManifestError(
            f"no crop can be cut of {named(absent)}: every box is too small to be classified, or ignored"
        )
    check_every_class_in_every_split(table, "group")
