"""Make a data set of crops, one of each annotated box, from which a classifier of crops learns.

    python -m dataset.crops [--manifest data/manifest.csv] [--out artifacts/detection/crops] [--params params.yaml]

The class of a crop is its object; group, splits and attributes are its picture's, so that no object is on two sides.
What is cut out is what the service cuts out of a picture for a box that a detector found (`runtime/model/crops.py`),
with `crops.margin` around it. Ignored boxes and crops that the service would not classify are left out. What an earlier
run wrote into the folder is replaced, and nothing else.
"""

import argparse
import hashlib
import io
import logging
import os
import shutil
import sys
from collections import Counter
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from dataset.boxes import Boxes, objects_of
from dataset.checks import check_every_class_in_every_split, named
from dataset.description import DESCRIPTION_FILE, DataDescription, read_description
from dataset.manifest import ATTRIBUTE_PREFIX, COLUMNS, Manifest, ManifestError
from dataset.outputs.disk import write_problem
from dataset.outputs.originals import OriginalError, read_original
from dataset.outputs.overlap import check_nothing_foreign
from dataset.outputs.pipeline import PICTURES_DIR, STAGING_DIR
from dataset.outputs.replacing import alone, replace_outputs
from dataset.params import CropParams
from project.command import command
from project.params import ParamsError, add_params_option, read_section
from project.progress import progress
from runtime.model.crops import crop_box, is_too_small
from runtime.model.errors import ImageError
from runtime.model.image import ImageArray, decode_image
from runtime.model.preprocess import Box
from runtime.model.tiles import PixelBox

MANIFEST_CSV = "manifest.csv"

logger = logging.getLogger(__name__)

Row = dict[Hashable, Any]


class _Cut(NamedTuple):
    """What was cut out of one picture. too_small: boxes of too few pixels for a crop."""

    rows: list[Row]
    too_small: int


def cut_crops(manifest: Manifest, out_dir: Path, margin: float) -> Manifest:
    """Fill `out_dir` with crops, `manifest.csv` and `description.json`; return the table.

    margin: share of a box's width and height that is added on each side. Raises ManifestError for data without boxes,
    for pictures that can no longer be read, for fewer than two objects, for an object without a crop on a side of the
    split, and for what a person put where crops go; then `out_dir` is left as it was.
    """
    if not objects_of(manifest):
        raise ManifestError(f"the pictures in {manifest.root} have no boxes to cut crops from: docs/FOLDERS.md")
    outputs = [out_dir / name for name in (PICTURES_DIR, MANIFEST_CSV, DESCRIPTION_FILE)]
    staging = out_dir / STAGING_DIR
    try:
        with alone(out_dir):
            check_nothing_foreign(outputs)
            try:
                crops = _stage(manifest, staging, margin)
                check_nothing_foreign(outputs, by_content=False)  # what came in the meantime
                known = dict(zip(crops.table["path"], crops.table["sha256"], strict=True))
                replace_outputs(outputs, staging, known)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as exc:
        raise ManifestError(write_problem(exc, Path(str(exc.filename or out_dir)))) from exc
    return Manifest(crops.table, out_dir)


def _stage(manifest: Manifest, staging: Path, margin: float) -> Manifest:
    """Make below `staging` all that shall lie in the folder of crops."""
    shutil.rmtree(staging, ignore_errors=True)
    description = read_description(manifest.root)
    cuts = list(_cut_all(manifest, staging, margin, description.max_value))
    table = pd.DataFrame([row for cut in cuts for row in cut.rows], columns=[*COLUMNS, *_attributes(manifest)])
    table = table.sort_values("path", ignore_index=True)
    if too_small := sum(cut.too_small for cut in cuts):
        logger.warning("%d box(es) are too small for a crop that is classified, and are left out", too_small)
    _check(table, description.objects)
    crops = Manifest(table, staging)
    crops.write(staging / MANIFEST_CSV)
    _described(description, margin).write(staging)
    return crops


def _described(description: DataDescription, margin: float) -> DataDescription:
    told = {
        "name": f"{description.name}-crops",
        "title": f"{description.title}: crops",
        "summary": f"Crops, one of each box, of these pictures. {description.summary}",
        "normal_class": "",
        "compare_protocols": False,
        "regions": (),
        "objects": (),
        "crop_margin": margin,
    }
    return description.model_copy(update=told)


def _attributes(manifest: Manifest) -> list[str]:
    return [f"{ATTRIBUTE_PREFIX}{name}" for name in manifest.attributes]


def _cut_all(manifest: Manifest, staging: Path, margin: float, max_value: int | None) -> Iterator[_Cut]:
    boxes = Boxes(manifest)
    rows: list[Row] = manifest.table.to_dict("records")

    def cut(at: int) -> _Cut:
        found = boxes.in_picture(at)
        wanted = np.flatnonzero(~found.ignored).tolist()
        if not wanted:
            return _Cut([], 0)
        pixels = _pixels(manifest.root / rows[at]["path"], max_value)
        height, width = pixels.shape[:2]
        places = [(number, crop_box(_box(found.corners[number]), margin, (width, height))) for number in wanted]
        large = [(number, place) for number, place in places if not is_too_small(place)]
        written = [
            _write(pixels, place, rows[at], boxes.objects[found.objects[number]], number, staging)
            for number, place in large
        ]
        return _Cut(written, len(places) - len(large))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from progress(pool.map(cut, range(len(rows))), "cutting", len(rows), "picture")


def _box(corners: NDArray[np.float32]) -> Box:
    left, top, right, bottom = corners.tolist()
    return left, top, right, bottom


def _pixels(path: Path, max_value: int | None) -> ImageArray:
    try:
        return decode_image(read_original(path), max_value=max_value)
    except (OriginalError, ImageError) as exc:
        raise ManifestError(f"the picture {path} can no longer be read ({exc}); run `make data` again") from exc


def _write(pixels: ImageArray, place: PixelBox, row: Row, label: str, number: int, staging: Path) -> Row:
    """Write one crop, and return its row. row: of its picture. number: of its box there."""
    left, top, right, bottom = place
    buffer = io.BytesIO()
    Image.fromarray(pixels[top:bottom, left:right]).save(buffer, "PNG")
    # By its picture's path and not by its object, whose name may be no name of a file.
    path = f"{row['path']}-{number}.png"
    (staging / path).parent.mkdir(parents=True, exist_ok=True)
    (staging / path).write_bytes(buffer.getvalue())
    facts = {"path": path, "label": label, "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
    size = {"width": right - left, "height": bottom - top, "mask": ""}
    return {name: value for name, value in row.items() if name in COLUMNS or str(name).startswith(ATTRIBUTE_PREFIX)} | (
        facts | size
    )


def _check(table: pd.DataFrame, objects: tuple[str, ...]) -> None:
    """Refuse what a classifier cannot be trained on."""
    counts = Counter(table["label"])
    if absent := [name for name in objects if not counts[name]]:
        raise ManifestError(f"no crop can be cut of {named(absent)}: every box is too small to be classified")
    if len(objects) < 2:
        raise ManifestError(
            f"the boxes hold {named(objects)} alone, and a classifier of crops tells at least 2 objects apart: the "
            "detector's own answer is all there is to say"
        )
    check_every_class_in_every_split(table, "group")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/detection/crops"))
    add_params_option(parser)


@command(_arguments, known=(ManifestError, ParamsError), speaker="error")
def main(args: argparse.Namespace) -> None:
    params = read_section(args.params, "crops", CropParams)
    table = cut_crops(Manifest.read(args.manifest), args.out, params.margin).table
    logger.info("cut %d crops of %d objects into %s", len(table), table["label"].nunique(), args.out)


if __name__ == "__main__":
    sys.exit(main())
