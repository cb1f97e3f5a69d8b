"""Draw the masks of a COCO document; of outlines that overlap, the later one wins.

Where an annotation has only a box, all of that is ignored: the object is in there, and nobody has said which pixels.
"""

import math
from collections.abc import Mapping

import numpy as np
from pycocotools import mask as cocotools

from dataset.annotations import IGNORED, MarkedArray, MaskArray, marked
from dataset.masks.coco import CocoDocument, CocoImage, Outline
from dataset.masks.run_lengths import decode_runs
from dataset.readable_name import readable


class CocoMasks:
    """The masks of a document's images. Crowds and boxes are ignored, but where an object is outlined in them."""

    def __init__(self, document: CocoDocument, images: Mapping[str, CocoImage]) -> None:
        """Take the image of each `mask` of a `SourcePicture`."""
        self.names = document.names
        self._shown = readable(str(document.path))
        self._images = images
        self._overlaps: dict[str, int] = {}  # pixels that are of two regions, by mask
        self._empty: dict[str, list[str]] = {}  # outlines that cover no pixel, by mask

    def read(self, mask: str, label: str) -> MaskArray | None:  # noqa: ARG002 (of the protocol)
        """Return the mask as `SourceMasks` says."""
        image = self._images[mask]
        drawn = np.zeros((image.height, image.width), dtype=np.uint8)
        overlap, empty = 0, []
        for outline in sorted(image.outlines, key=lambda one: one.value != IGNORED):  # crowds first, else in order
            inside = _inside(outline, image)
            if not inside.any():
                empty.append(f"annotation {outline.number} of {image.file_name}")
            overlap += int((marked(drawn) & inside & (drawn != outline.value)).sum())
            drawn[inside] = outline.value
        self._overlaps[mask], self._empty[mask] = overlap, empty
        return drawn

    def shown(self, mask: str) -> str:
        """Return the document with the image."""
        image = self._images[mask]
        return f"{self._shown}, image {image.number}, {image.file_name}"

    def remark(self) -> str:
        """Return how many pixels are of two regions, and how many outlines cover no pixel."""
        overlaps = [pixels for pixels in self._overlaps.values() if pixels]
        empty = [name for names in self._empty.values() for name in names]
        parts = []
        if overlaps:
            parts.append(
                f"outlines of different categories overlap in {len(overlaps)} picture(s), by {sum(overlaps)} pixels "
                "in all: the later one wins there"
            )
        if empty:
            parts.append(f"{len(empty)} outline(s) cover no pixel, such as {empty[0]}")
        return f"{self._shown}: {'; '.join(parts)}" if parts else ""


def _inside(outline: Outline, image: CocoImage) -> MarkedArray:
    """Return `(height, width)` bool: the pixels of an outline that `check_coco` has let pass, or of a box."""
    if outline.corners is not None:
        left, top, right, bottom = outline.corners
        inside = np.zeros((image.height, image.width), dtype=bool)
        inside[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = True
        return inside
    if isinstance(outline.segmentation, dict):
        return decode_runs(outline.segmentation["counts"], image.height, image.width)
    polygons = cocotools.frPyObjects(outline.segmentation, image.height, image.width)
    # Not by its own `decode`, which NumPy 2 warns of.
    return decode_runs(cocotools.merge(polygons)["counts"].decode(), image.height, image.width)
