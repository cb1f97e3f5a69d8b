"""Measure the boxes of a detection model on the test pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dataset.boxes import Boxes, BoxesOfPicture
from dataset.manifest import Manifest
from evaluation.boxes.document import BoxResults, WorstBoxes
from evaluation.boxes.figures import (
    BOX_COUNT,
    OBJECT_COUNT,
    RIGHT_COUNT,
    box_result,
    by_attribute,
    by_size,
    coco_figures,
)
from evaluation.boxes.matching import Truth
from evaluation.boxes.object_table import OBJECTS_FILE, ObjectTable
from evaluation.boxes.picture_boxes import MatchedBoxes, PictureBoxes, match_all
from evaluation.boxes.worst import MAX_SIDE_PX, draw_boxes
from evaluation.outlines.document import Objects
from evaluation.outlines.free_response import measure_objects
from evaluation.outlines.measure import WORST_DIR, one_of
from evaluation.outlines.worst import choose_worst
from evaluation.params import EvaluateParams
from evaluation.picture_files import read_picture
from evaluation.predicted_boxes import BoxTable, PredictedBoxes
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import Resampling
from runtime.model.contract import DetectionContract

_EDGE_PX = 0.5  # within which a box that covers its picture ends at the picture's edge
NOTHING_BOXED = (
    "Not measured: no test picture has a box around an object, so that there is nothing to compare boxes with."
)

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class MeasuredBoxes:
    """What is known of boxes; `results` is None where `why_not` says why.

    table: of `objects.csv`. drawings: PNGs of the worst pictures, by their files beside the document.
    """

    results: BoxResults | None
    table: ObjectTable
    drawings: dict[str, bytes] = field(default_factory=dict)
    why_not: str = ""
    file = OBJECTS_FILE

    @property
    def stated(self) -> dict[str, object]:
        """Return what the document states of boxes."""
        return {"boxes": self.results, "no_boxes": self.why_not}


@dataclass(frozen=True)
class Subject:
    """A model's boxes and the true ones of the pictures of a manifest; a row is one of the predictions."""

    table: BoxTable
    manifest: Manifest
    predictions: Predictions

    @cached_property
    def boxes(self) -> Boxes:
        return Boxes(self.manifest, self.table.contract)

    @cached_property
    def places(self) -> dict[str, int]:
        """Return the position in the manifest by path."""
        return {path: place for place, path in enumerate(self.manifest.table["path"])}

    def size(self, row: int) -> tuple[int, int]:
        """Return the width and the height of the upright picture."""
        rows, place = self.manifest.table, self.places[self.predictions.paths[row]]
        return int(rows["width"].iloc[place]), int(rows["height"].iloc[place])

    def read(self, row: int) -> PictureBoxes:
        """Return what is in one picture and what was found. Raises ManifestError for boxes that cannot be read."""
        truth = self.boxes.in_picture(self.places[self.predictions.paths[row]])
        return picture_boxes(truth, self.table.of(row), self.table.contract, *self.size(row))

    def draw(self, row: int, boxes: PictureBoxes) -> bytes:
        """Return a PNG of the picture with its boxes. Raises EvaluationError if the picture cannot be read."""
        file = self.manifest.root / self.predictions.paths[row]
        image = read_picture(file, (MAX_SIDE_PX, MAX_SIDE_PX), self.table.contract.max_value)
        return draw_boxes(image, boxes, *self.size(row))


def picture_boxes(
    truth: BoxesOfPicture, found: PredictedBoxes, contract: DetectionContract, width: int, height: int
) -> PictureBoxes:
    """Put what is in a picture of that upright size beside what was found there.

    Nobody knows where the object of a picture is all of which is ignored, whatever object is looked for.
    """
    there = Truth(truth.corners.astype(np.float64), truth.objects.astype(np.int64), truth.ignored)
    is_whole = (np.abs(there.corners - (0, 0, width, height)) <= _EDGE_PX).all(axis=1)
    is_unknown = set(there.objects[is_whole & there.ignored].tolist()) == set(range(len(contract.objects)))
    return PictureBoxes(there, found, contract.threshold, is_unknown)


def measure_boxes(
    table: BoxTable, manifest: Manifest, predictions: Predictions, params: EvaluateParams
) -> MeasuredBoxes:
    """Measure the boxes of the test pictures; see `BoxResults`.

    predictions: the whole table, whose boxes these are; its pictures are the manifest's. Raises ManifestError for
    boxes of the data set that cannot be read, PredictionsError if the model's are not of these predictions,
    EvaluationError for a picture that is to be drawn.
    """
    table.refuse_other_predictions(predictions)
    subject = Subject(table, manifest, predictions)
    rows = np.flatnonzero(predictions.splits == "test")
    pictures = [subject.read(int(row)) for row in rows]
    measured = measured_of(predictions.take(rows), pictures, [table.contract], params)
    if measured.results is None:
        return measured
    worst, drawings = _worst(subject, measured.table, rows)
    return MeasuredBoxes(measured.results.model_copy(update={"worst": worst}), measured.table, drawings)


def measured_of(
    rows: Predictions, pictures: Sequence[PictureBoxes], contracts: Sequence[DetectionContract], params: EvaluateParams
) -> MeasuredBoxes:
    """Return the figures of pictures whose boxes are given, without drawings.

    contracts: of the models that answered, of the same objects.
    """
    table = ObjectTable(rows.paths, rows.groups, contracts[0].objects, tuple(pictures))
    known = np.flatnonzero([not one.is_unknown for one in pictures])
    shown = [one for one in pictures if not one.is_unknown]
    if not any((~one.truth.ignored).any() for one in shown):
        return MeasuredBoxes(None, table, why_not=NOTHING_BOXED)
    return MeasuredBoxes(_results(rows.take(known), shown, len(pictures) - len(known), contracts, params), table)


def _results(
    rows: Predictions, pictures: list[PictureBoxes], num_unknown: int, contracts: Sequence[DetectionContract],
    params: EvaluateParams,
) -> BoxResults:  # fmt: skip
    """Compute all figures of pictures that count."""
    resampling, names = Resampling(rows.groups, params), contracts[0].objects
    whole = match_all(pictures, None)
    each = [match_all(pictures, number) for number in range(len(names))]
    any_precisions = coco_figures([whole.ranking()], resampling)[0]
    precisions, mean = coco_figures([one.ranking() for one in each], resampling)
    every = list(zip(("", *names), (whole, *each), (*any_precisions, *precisions), strict=True))
    slices, num_smaller = by_attribute(rows, whole, params)
    return BoxResults(
        objects=names,
        threshold=one_of({one.threshold for one in contracts}),
        max_boxes=max(one.max_boxes for one in contracts),
        num_images=len(pictures),
        num_groups=resampling.num_groups,
        num_marked=sum(bool((~one.truth.ignored).any()) for one in pictures),
        num_unknown=num_unknown,
        num_ignored=sum(int(one.truth.ignored.sum()) for one in pictures),
        results=tuple(box_result(name, matched, coco, resampling) for name, matched, coco in every),
        mean=mean,
        sizes=by_size(pictures, len(names), resampling),
        found=tuple(_found(name, matched, resampling) for name, matched, _ in every),
        slices=slices,
        num_smaller_slices=num_smaller,
        worst=(),
    )


def _found(name: str, matched: MatchedBoxes, resampling: Resampling) -> Objects:
    """Return which objects are found at the threshold, and how many at a number of false alarms by all candidates."""
    answered = measure_objects(name, matched.candidates(answered=True), resampling, in_detail=not name)
    ranked = measure_objects(name, matched.candidates(answered=False), resampling, in_detail=not name)
    return answered.model_copy(update={"recall_at": ranked.recall_at, "curve": ranked.curve})


def _worst(subject: Subject, table: ObjectTable, rows: Rows) -> tuple[tuple[WorstBoxes, ...], dict[str, bytes]]:
    """Return the worst pictures and their drawings; `rows` of the predictions are those of the table."""
    known = np.flatnonzero([not one.is_unknown for one in table.pictures])
    shown = table.take(known)
    counts = match_all(shown.pictures, None).counts()
    predictions, hashes = subject.predictions, subject.manifest.table["sha256"]
    found, drawings = [], {}
    for number, (kind, place) in enumerate(choose_worst(counts, shown.groups, shown.paths)):
        row, name = int(rows[known[place]]), f"{WORST_DIR}/{kind}_{number:02d}.png"
        drawings[name] = subject.draw(row, shown.pictures[place])
        num_right, num_boxes, num_objects = (
            int(counts[place, column]) for column in (RIGHT_COUNT, BOX_COUNT, OBJECT_COUNT)
        )
        found.append(
            WorstBoxes(
                kind=kind,
                path=predictions.paths[row],
                sha256=str(hashes.iloc[subject.places[predictions.paths[row]]]),
                label=predictions.classes[predictions.labels[row]],
                group=predictions.groups[row],
                picture=name,
                num_objects=num_objects,
                num_boxes=num_boxes,
                num_right=num_right,
                f1=2 * num_right / (num_boxes + num_objects),
            )
        )
    return tuple(found), drawings
