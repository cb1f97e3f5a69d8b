"""Take the boxes of a COCO document: of an outline where there is one, and else the box that is written."""

import numpy as np

from dataset.box_formats.source_boxes import Corners, SourceBox, StatedBoxes
from dataset.masks.coco import CocoDocument, CocoImage, Outline
from dataset.masks.run_lengths import decode_runs
from dataset.readable_name import readable


def boxes_of_image(document: CocoDocument, image: CocoImage) -> StatedBoxes:
    """Return the boxes of an image's annotations, cut off at its edges; outlines that cover nothing have none."""
    boxes = []
    for outline in image.outlines:
        if corners := outline.corners or _around(outline, image):
            boxes.append(SourceBox(outline.name, corners, f"annotation {outline.number}", outline.is_crowd))
    shown = f"{readable(str(document.path))}, image {image.number}, {image.file_name}"
    return StatedBoxes(shown, tuple(boxes), (image.width, image.height))


def _around(outline: Outline, image: CocoImage) -> Corners | None:
    """Return the box of an outline that `check_coco` has let pass, None if it covers nothing."""
    if isinstance(outline.segmentation, dict):
        inside = decode_runs(outline.segmentation["counts"], image.height, image.width)
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not rows.size:
            return None
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    points = np.concatenate([np.asarray(polygon, dtype=np.float64) for polygon in outline.segmentation]).reshape(-1, 2)
    left, top = points.min(axis=0).clip(0, (image.width, image.height)).tolist()
    right, bottom = points.max(axis=0).clip(0, (image.width, image.height)).tolist()
    return (left, top, right, bottom) if right - left >= 1e-3 and bottom - top >= 1e-3 else None
