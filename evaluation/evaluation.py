"""The document that an evaluation leaves: everything that the report and the model card state, and nothing else.

It is written as `evaluation.json` and travels with the model. Undefined figures are null.
"""

from pathlib import Path
from typing import Literal, Self

from dataset.manifest import Protocol
from evaluation.analyses.calibration import Calibration
from evaluation.analyses.fairness import Fairness
from evaluation.analyses.label_review import LabelReview
from evaluation.analyses.threshold import DefectDetection
from evaluation.analyses.weak_slices import SliceSearch
from evaluation.asked_model import AskedModel
from evaluation.boxes.document import BoxResults
from evaluation.document import Count, Document, Figure, Share, SinceEstimated, read_document
from evaluation.document import Estimate as Estimate
from evaluation.document import EvaluationError as EvaluationError
from evaluation.document import WrongPrediction as WrongPrediction
from evaluation.outlines.document import Outlines

EVALUATION_FILE = "evaluation.json"
BY_IMAGE_FILE = "by_image.json"


class ClassResult(Document):
    """What one class got; `num_images` is its support, `average_precision` that of its probability against the rest."""

    name: str
    num_images: Count
    num_groups: Count
    num_predicted: Count
    precision: Estimate
    recall: Estimate
    f1: Estimate
    average_precision: Estimate | None = None


class Confusion(Document):
    """Images of class `actual` that were called `predicted`, and how many groups they come from."""

    actual: str
    predicted: str
    num_images: Count
    num_groups: Count


class SliceResult(Document):
    """The figures of all test images whose `attribute` has `value`."""

    attribute: str
    value: str
    num_images: Count
    num_groups: Count
    accuracy: Estimate
    macro_f1: SinceEstimated


class Evaluation(Document):
    """Result of one protocol on the test split.

    `num_seen_in_training` counts test images whose group has images in training; `leaking` says whether there are
    any. `confusion[i][j]` counts images of class i called class j. `majority_share` is the accuracy of always
    answering the most frequent class, `majority_class`. `wrong` lists the most confident wrong predictions, of
    `num_wrong`. `mcc` is Matthews' correlation coefficient for several classes (Gorodkin 2004), in [-1, 1].
    `asked_model` is the model that `evaluation.predict` asked, null for predictions of the trained checkpoint.
    `detection` is null where `no_detection` says why, `outlines` and `boxes` where `no_outlines` and `no_boxes` do
    or for a model that has none.
    Analyses that were not made are null.
    """

    schema_version: Literal[1] = 1
    protocol: Protocol
    split: Literal["test"] = "test"
    leaking: bool
    num_seen_in_training: Count
    classes: tuple[str, ...]
    num_images: Count
    num_groups: Count
    majority_class: str
    majority_share: Share
    accuracy: Estimate
    macro_f1: Estimate
    balanced_accuracy: Estimate
    mcc: Figure | None = None
    per_class: tuple[ClassResult, ...]
    confusion: tuple[tuple[Count, ...], ...]
    confusions: tuple[Confusion, ...]
    slices: tuple[SliceResult, ...]
    min_slice_images: Count
    num_smaller_slices: Count
    num_wrong: Count
    wrong: tuple[WrongPrediction, ...]
    calibration: Calibration | None = None
    detection: DefectDetection | None = None
    no_detection: str = ""
    slice_search: SliceSearch | None = None
    outlines: Outlines | None = None
    no_outlines: str = ""
    boxes: BoxResults | None = None
    no_boxes: str = ""
    fairness: Fairness | None = None
    label_review: LabelReview | None = None
    confidence: Share
    bootstrap_samples: Count
    num_resamples_missing_a_class: Count
    seed: Count
    data_sha256: str
    data_version: str = ""
    asked_model: AskedModel | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a document. Raises EvaluationError if it is missing or malformed."""
        return read_document(cls, path, "evaluation", "evaluation.evaluate", EvaluationError)
