"""Write the boxes of the pictures that are taken, in the form that all later stages read."""

import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dataset.annotations import read_mask
from dataset.box_formats.from_masks import boxes_of_mask
from dataset.boxes import MAX_OBJECTS, AnnotatedBox, write_boxes
from dataset.checks import named
from dataset.manifest import ManifestError
from dataset.sources.source_picture import Collection
from project.progress import progress

logger = logging.getLogger(__name__)

PictureBoxes = Mapping[str, list[AnnotatedBox]]


def with_boxes(collection: Collection, table: pd.DataFrame, staging: Path) -> Collection:
    """Write the boxes below `staging`, and return the collection with their objects in its description.

    table: manifest columns `path` and `mask` of the pictures taken. Where the source states no boxes, they are those of
    its masks, which lie below `staging` already. An object of which every box is ignored is left out. Without objects
    no file is written.
    """
    boxes = _stated(collection) if collection.boxes is not None else _from_masks(collection, table, staging)
    boxes = {path: boxes[path] for path in table["path"]}
    objects = tuple(sorted({box.object for of_one in boxes.values() for box in of_one if not box.ignored}))
    if len(objects) > MAX_OBJECTS:
        raise ManifestError(f"the pictures hold {len(objects)} kinds of objects; at most {MAX_OBJECTS} are possible")
    absent = sorted({box.object for of_one in boxes.values() for box in of_one} - {*objects})
    if absent:
        logger.warning("every box of %s is ignored: left out as object(s)", named(absent))
    if objects:
        write_boxes(staging, ((path, box) for path in boxes for box in boxes[path] if box.object in objects))
    return replace(collection, description=collection.description.model_copy(update={"objects": objects}))


def _stated(collection: Collection) -> PictureBoxes:
    return {
        path: [AnnotatedBox(box.object, box.corners, box.ignored) for box in stated.boxes]
        for path, stated in (collection.boxes or {}).items()
    }


def _from_masks(collection: Collection, table: pd.DataFrame, staging: Path) -> PictureBoxes:
    """Return the boxes of every picture's mask, by the picture's path."""
    regions = collection.description.regions
    items = list(table[["path", "mask"]].itertuples(index=False, name=None))

    def boxes_of(item: tuple[str, str]) -> tuple[str, list[AnnotatedBox]]:
        path, mask = item
        return path, boxes_of_mask(read_mask(staging / mask), regions) if mask and regions else []

    def each() -> Iterator[tuple[str, list[AnnotatedBox]]]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from progress(pool.map(boxes_of, items), "finding boxes", len(items), "picture")

    return dict(each() if regions else ((path, []) for path, _ in items))
