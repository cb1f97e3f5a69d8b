"""What is measured of a segmentation model's outlines; a part of `evaluation.json`.

All pixels are of the network's input, of the part that the picture fills. Pixels whose truth nobody knows do not count.
"""

from typing import Annotated, Literal

from pydantic import Field

from evaluation.document import Count, Document, Estimate, Figure, Share

Kind = Literal["miss", "false_alarm"]


class Overlap(Document):
    """How well one region is outlined, or any region if `name` is empty.

    `iou`, `dice` and `boundary_f` are of the sums over all pictures; those called `picture_...` are means over the
    `num_images` pictures that have the region. `boundary_f` (Csurka et al. 2013) is the harmonic mean of the shares of
    both outlines that lie near the other. Null where no picture has the region. `there_px` and `found_px` are its true
    and its answered pixels.
    """

    name: str
    num_images: Count
    num_groups: Count
    there_px: Count
    found_px: Count
    iou: Estimate
    dice: Estimate
    boundary_f: Estimate
    picture_iou: Estimate
    picture_dice: Estimate
    picture_boundary_f: Estimate


class RecallAt(Document):
    """Recall where at most `false_alarms` a picture are raised: by the parts that score at least `score`, null: none.

    The `recall` of all parts if they raise no more; then `is_all`.
    """

    false_alarms: Annotated[float, Field(gt=0)]
    score: float | None
    is_all: bool
    recall: Estimate


class FreeResponsePoint(Document):
    """Recall and false alarms a picture of the parts that score at least `score`."""

    score: float
    false_alarms: Annotated[float, Field(ge=0)]
    recall: Share


class SizeRecall(Document):
    """Recall of the defects of `low_px` to below `high_px` pixels; `high_px` is null for the largest."""

    low_px: Count
    high_px: Count | None
    num_objects: Count
    num_groups: Count
    recall: Estimate


class Objects(Document):
    """Whether defects are found, each a connected part of the truth, by the connected parts of the answer.

    `name` is empty where the region that was answered does not matter. `recall` and `false_alarms` (a picture) are of
    all `num_parts` that the service would answer, of which `num_false` find no defect. `curve` is the free-response
    curve; it and `by_size` are empty for single regions.
    """

    name: str
    num_objects: Count
    num_found: Count
    num_groups: Count
    num_parts: Count
    num_false: Count
    recall: Estimate
    false_alarms: Figure
    recall_at: tuple[RecallAt, ...]
    curve: tuple[FreeResponsePoint, ...] = ()
    by_size: tuple[SizeRecall, ...] = ()


class PixelBin(Document):
    """Pixels whose `foreground` lies in (`low`, `high`], 0 in the first: its mean, and how many are of a region."""

    low: Share
    high: Share
    num_px: Count
    stated: Share
    true: Share


class PixelCalibration(Document):
    """Whether `foreground` can be taken at its word; exact over all pixels that count, to the 255ths of the maps.

    `expected_error` is the mean gap between the stated and the true share over bins of equal width, weighted by their
    pixels; `doubtful_error` is the same without the first and the last bin, where nearly all background and all sure
    answers are. `overconfidence` is the mean stated share minus the true one.
    """

    num_px: Count
    expected_error: Estimate
    doubtful_error: Estimate
    overconfidence: Figure
    bins: tuple[PixelBin, ...]


class OutlineSlice(Document):
    """Dice of any region, of the sums over the test pictures whose `attribute` has `value`."""

    attribute: str
    value: str
    num_images: Count
    num_groups: Count
    dice: Estimate


class WorstOutline(Document):
    """A picture that was outlined badly; `picture` is the drawing's file beside the document."""

    kind: Kind
    path: str
    sha256: str
    label: str
    group: str
    picture: str
    there_px: Count
    found_px: Count
    overlap_px: Count
    dice: Share


class Outlines(Document):
    """Everything measured of outlines on the test pictures.

    `num_images` pictures of `num_groups` groups count, `num_marked` of them with a region; of `num_unknown` further
    ones nobody knows any pixel (a defect that nobody marked). `tolerance_px` is how near outlines must be for
    `boundary_f`. `overlaps` and `objects` begin with any region, then each of `regions`. `mean_iou` and `mean_dice` are
    means over regions that are there. `height` and `width` are of the network's input. `threshold` and `min_region_px`
    are null where the models of several folds have each their own.
    """

    regions: tuple[str, ...]
    height: Count
    width: Count
    threshold: Share | None
    min_region_px: Count | None
    num_images: Count
    num_groups: Count
    num_marked: Count
    num_unknown: Count
    tolerance_px: float
    overlaps: tuple[Overlap, ...]
    mean_iou: Estimate
    mean_dice: Estimate
    objects: tuple[Objects, ...]
    calibration: PixelCalibration
    slices: tuple[OutlineSlice, ...]
    num_smaller_slices: Count
    worst: tuple[WorstOutline, ...]

    @property
    def any_region(self) -> Overlap:
        """Return how well any region is told from background."""
        return self.overlaps[0]

    @property
    def any_object(self) -> Objects:
        """Return whether defects are found, whatever they were called."""
        return self.objects[0]

    def summary(self) -> dict[str, object]:
        """Return the figures that `metrics.json` has; null where undefined."""
        whole = {"dice": self.any_region.dice, "iou": self.any_region.iou, "recall": self.any_object.recall}
        figures: dict[str, object] = {}
        for name, estimate in whole.items():
            figures |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        return {"outlines": {**figures, "dice_of": {part.name: part.dice.value for part in self.overlaps[1:]}}}
