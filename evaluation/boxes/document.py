"""What is measured of a detection model's boxes; a part of `evaluation.json`.

Boxes are in pixels of the pictures themselves. What an ignored box covers does not count.
"""

from typing import Literal

from evaluation.document import Count, Document, Estimate, Share
from evaluation.outlines.document import Kind, Objects

SizeRule = Literal["coco", "thirds"]


class Precisions(Document):
    """COCO's figures: average precision and average recall.

    `ap` is the mean over IoU 0.50 to 0.95 in steps of 0.05, `ap50` and `ap75` are of one of them. `ar1`, `ar10` and
    `ar100` are recall, as mean over these IoUs, of so many boxes a picture. Null where no picture has the object.
    """

    ap: Estimate
    ap50: Estimate
    ap75: Estimate
    ar1: Estimate
    ar10: Estimate
    ar100: Estimate


class BoxResult(Document):
    """How well the boxes of one object are, or of any object, whatever it was called, if `name` is empty.

    `num_images` pictures of `num_groups` groups have one of `num_objects` objects. `precision`, `recall` and `f1` are
    of the `num_boxes` boxes that score at least the contract's threshold, of which `num_right` find an object at IoU
    0.5; boxes that are left out are not among them.
    """

    name: str
    num_images: Count
    num_groups: Count
    num_objects: Count
    num_boxes: Count
    num_right: Count
    precisions: Precisions
    precision: Estimate
    recall: Estimate
    f1: Estimate


class SizeResult(Document):
    """COCO's figures of objects of `low_px` to `high_px` square pixels, null without a bound; means over objects."""

    rule: SizeRule
    low_px: float
    high_px: float | None
    num_objects: Count
    num_groups: Count
    ap: Estimate
    ar100: Estimate


class BoxSlice(Document):
    """Figures of any object, of the test pictures whose `attribute` has `value`."""

    attribute: str
    value: str
    num_images: Count
    num_groups: Count
    num_objects: Count
    ap50: Estimate
    f1: Estimate


class WorstBoxes(Document):
    """A picture whose boxes are bad; `picture` is the drawing's file beside the document. Counts are of any object."""

    kind: Kind
    path: str
    sha256: str
    label: str
    group: str
    picture: str
    num_objects: Count
    num_boxes: Count
    num_right: Count
    f1: Share


class BoxResults(Document):
    """Everything measured of boxes on the test pictures.

    `num_images` pictures of `num_groups` groups count, `num_marked` of them with an object that counts; of
    `num_unknown` further ones nobody knows where the object is. `num_ignored` true boxes are left out. `results` and
    `found` begin with any object, then each of `objects`; `mean` is the mean over objects that are there. `found` has
    the share of objects found and the false alarms a picture of the boxes that reach the threshold; its `recall_at` and
    `curve` are of all candidates. `threshold` is null where the models of several folds have each their own.
    """

    objects: tuple[str, ...]
    threshold: Share | None
    max_boxes: Count
    num_images: Count
    num_groups: Count
    num_marked: Count
    num_unknown: Count
    num_ignored: Count
    results: tuple[BoxResult, ...]
    mean: Precisions
    sizes: tuple[SizeResult, ...]
    found: tuple[Objects, ...]
    slices: tuple[BoxSlice, ...]
    num_smaller_slices: Count
    worst: tuple[WorstBoxes, ...]

    @property
    def any_object(self) -> BoxResult:
        """Return the figures of any object, whatever it was called."""
        return self.results[0]

    @property
    def any_found(self) -> Objects:
        """Return whether objects are found, whatever they were called."""
        return self.found[0]

    def summary(self) -> dict[str, object]:
        """Return the figures that `metrics.json` has; null where undefined."""
        whole = {name: getattr(self.mean, name) for name in ("ap", "ap50", "ar100")}
        whole |= {name: getattr(self.any_object, name) for name in ("precision", "recall", "f1")}
        figures: dict[str, object] = {}
        for name, estimate in whole.items():
            figures |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        return {"boxes": {**figures, "ap50_of": {one.name: one.precisions.ap50.value for one in self.results[1:]}}}
