"""The document that a comparison of two models on the same pictures leaves: `comparison.json`.

Differences are the second model's figure minus the first's. Undefined figures are null.
"""

from typing import Annotated, Literal

from pydantic import Field

from evaluation.document import Count, Document, Share

COMPARISON_FILE = "comparison.json"
MAX_CHANGED = 200  # pictures listed in each direction

Gain = Annotated[float, Field(ge=-1, le=1)]


class Difference(Document):
    """A figure of both models and the second's minus the first's; null where undefined, as
    `evaluation.statistics.metrics` states.

    `low` and `high` are the ends of the difference's interval, null if too few groups bear on it.
    """

    first: Share | None
    second: Share | None
    difference: Gain | None
    low: Gain | None = None
    high: Gain | None = None


class ClassDifference(Document):
    """The recall of one class."""

    name: str
    num_images: Count
    num_groups: Count
    recall: Difference


class OutlineDifference(Document):
    """How well one region is outlined, any if `name` is empty, pooled over the pixels of all pictures."""

    name: str
    num_images: Count
    num_groups: Count
    dice: Difference
    iou: Difference


class BoxDifference(Document):
    """Average precision of one object's boxes, at IoU 0.50 to 0.95 and at 0.50.

    The mean over objects if `name` is empty.
    """

    name: str
    num_objects: Count
    num_groups: Count
    ap: Difference
    ap50: Difference


class SignTest(Document):
    """How many favour one model or the other, and the exact two-sided binomial probability of a split as uneven.

    Over images this is McNemar's test (McNemar 1947, Psychometrika 12) in its exact form.
    """

    num_first: Count
    num_second: Count
    p_value: Share


class Change(Document):
    """A picture that one model gets right and the other does not; probabilities are those of its label."""

    path: str
    sha256: str
    group: str
    label: str
    first_predicted: str
    second_predicted: str
    first_probability: Share
    second_probability: Share


class Comparison(Document):
    """Everything that a comparison states.

    `mcnemar` counts images, as if they were independent; `by_group` counts groups on which one model gets more images
    right. `fixed` and `broken` list what changed for better and for worse, the largest change of probability first,
    at most `MAX_CHANGED` of `num_fixed` and `num_broken`. `outlines` begin with any region, `boxes` with the mean over
    objects; empty where none of both models, or only one, has them. `notes` say what the comparison left out.
    """

    schema_version: Literal[1] = 1
    first: str
    second: str
    split: str
    classes: tuple[str, ...]
    num_images: Count
    num_groups: Count
    macro_f1: Difference
    balanced_accuracy: Difference
    accuracy: Difference
    per_class: tuple[ClassDifference, ...]
    outlines: tuple[OutlineDifference, ...] = ()
    boxes: tuple[BoxDifference, ...] = ()
    mcnemar: SignTest
    by_group: SignTest
    num_fixed: Count
    num_broken: Count
    num_wrong_otherwise: Count
    fixed: tuple[Change, ...]
    broken: tuple[Change, ...]
    confidence: Share
    bootstrap_samples: Count
    seed: Count
    notes: tuple[str, ...] = ()

    @property
    def shown_outlines(self) -> tuple[OutlineDifference, ...]:
        """Return any region and each; where there is one region only, it says what any region says and is left out."""
        return self.outlines[:1] if len(self.outlines) == 2 else self.outlines

    @property
    def shown_boxes(self) -> tuple[BoxDifference, ...]:
        """Return the mean and each object; where there is one object only, it is the mean, which is left out."""
        return self.boxes[1:] if len(self.boxes) == 2 else self.boxes
