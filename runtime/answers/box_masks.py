"""The pixels of what a detector found, by the segmenter that stands beside it: the part of a region in the box."""

import math
from collections.abc import Sequence

from pycocotools import mask as coco

from runtime.answers.detection import DetectedBox, Detection
from runtime.answers.segmentation import Region, RunLengths, Segmentation


def with_masks(detections: Sequence[Detection], segmentation: Segmentation) -> list[Detection]:
    """Give each detection the mask of the region with the most pixels in its box, cut off at the box.

    detections, segmentation: of one picture, in its own pixels. A pixel is in a box if its centre is. A detection in
    whose box no region has a pixel has no mask.
    """
    return [
        detection.model_copy(update={"mask_rle": _mask(detection.box, segmentation.regions)})
        for detection in detections
    ]


def _mask(box: DetectedBox, regions: Sequence[Region]) -> RunLengths | None:
    left, top, right, bottom = (math.ceil(edge - 0.5) for edge in (box.x1, box.y1, box.x2, box.y2))
    if right <= left or bottom <= top:  # it lies between the centres of pixels
        return None
    near = [
        region
        for region in regions
        if region.box.left < right and left < region.box.right and region.box.top < bottom and top < region.box.bottom
    ]
    if not near:
        return None
    height, width = near[0].mask.size  # as of all, which are of one picture
    rectangle = _rectangle((left, top, right, bottom), height, width)
    best, best_area = None, 0
    for region in near:
        cut = coco.merge([{"size": [height, width], "counts": region.mask.counts}, rectangle], intersect=True)
        area = int(coco.area(cut))
        if area > best_area:
            best, best_area = RunLengths(size=(height, width), counts=cut["counts"].decode()), area
    return best


def _rectangle(box: tuple[int, int, int, int], height: int, width: int) -> dict[str, object]:
    """Return a rectangle of whole pixels as COCO's compressed run lengths, which go down the columns."""
    left, top, right, bottom = box
    inside, outside = bottom - top, height - (bottom - top)
    runs = [left * height + top, inside, *([outside, inside] * (right - left - 1))]
    counts = [*runs, height * width - sum(runs)]
    encoded: dict[str, object] = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return encoded
