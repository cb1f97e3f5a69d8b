"""Name what a detector found on the test pictures, as the service does, and compare with what is there."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dataset.boxes import Boxes, objects_of
from dataset.manifest import Manifest
from evaluation.analyses.leakage import refuse_other_images
from evaluation.boxes.matching import Truth, finders
from evaluation.crops.document import BehindDetector, NamedObjects
from evaluation.document import EvaluationError
from evaluation.params import EvaluateParams
from evaluation.picture_files import READERS, read_opened
from evaluation.predicted_boxes import BoxTable
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import FloatArray, Resampling, as_estimate, figure_of_sums, ratio
from project.progress import progress
from runtime.model.contract import PROBABILITIES, ClassificationContract
from runtime.model.crops import crop_box, is_too_small
from runtime.model.image import ImageArray
from runtime.model.roles import role_of
from runtime.model.session import Predictor

_PICTURES_AT_ONCE = 32
_OBJECT, _FOUND, _RIGHT, _OWN_RIGHT = range(4)  # columns of counts


class _Object(NamedTuple):
    """A true object. row: its picture, among those of the test. name: its number among the data set's names.

    crop: what the classifier is asked about; None where nothing found it, or the crop is too small. own: what the
    detector calls it, '' for nothing.
    """

    row: int
    name: int
    is_found: bool = False
    own: str = ""
    crop: ImageArray | None = None


class _Named(NamedTuple):
    """What became of a true object; said: what the classifier calls it, '' where it was not asked."""

    row: int
    name: int
    is_found: bool
    own: str
    said: str


@dataclass(frozen=True)
class _Pictures:
    """The test pictures, with what is there and what was found; a row is one of the predictions."""

    table: BoxTable
    manifest: Manifest
    predictions: Predictions
    boxes: Boxes
    places: dict[str, int]
    contract: ClassificationContract

    def read(self, row: int, number: int) -> list[_Object]:
        """Return the objects that count in one picture, cut out where they were found; number: of the picture."""
        path = self.predictions.paths[row]
        there = self.boxes.in_picture(self.places[path])
        truth = Truth(there.corners.astype(np.float64), there.objects.astype(np.int64), there.ignored)
        names = truth.objects[~truth.ignored].tolist()
        if not names:
            return []
        found = self.table.of(row)
        answered = found.take(np.flatnonzero(found.scores >= self.table.contract.threshold))
        by = finders(truth, answered.corners).tolist()
        if max(by) < 0:
            return [_Object(number, name) for name in names]
        detector, objects = self.table.contract, []
        opened = read_opened(self.manifest.root / path, detector)
        for name, box in zip(names, by, strict=True):
            if box < 0:
                objects.append(_Object(number, name))
                continue
            left, top, right, bottom = answered.corners[box].tolist()
            place = crop_box((left, top, right, bottom), self.contract.crop_margin, opened.size[::-1])
            crop = None if is_too_small(place) else opened.crop(place, self.contract)
            objects.append(_Object(number, name, True, detector.objects[answered.objects[box]], crop))
        return objects


def measure_behind(
    table: BoxTable, manifest: Manifest, predictions: Predictions, predictor: Predictor, params: EvaluateParams
) -> BehindDetector:
    """Measure a classifier of crops behind a detector on the test pictures.

    table, predictions: what the detector said of the manifest's pictures. Raises EvaluationError for a model that is no
    classifier of crops or does not know an object of the data, for data without objects and for a picture that cannot
    be read, ManifestError for boxes that cannot be read, PredictionsError if boxes, predictions and pictures do not
    fit.
    """
    table.refuse_other_predictions(predictions)
    refuse_other_images(predictions, manifest, "group")
    names = objects_of(manifest)
    contract = _contract_of_crops(predictor, names)
    rows = np.flatnonzero(predictions.splits == "test")
    places = {path: place for place, path in enumerate(manifest.table["path"])}
    pictures = _Pictures(table, manifest, predictions, Boxes(manifest), places, contract)
    objects = _ask(pictures, rows.tolist(), predictor)
    if not objects:
        raise EvaluationError("no test picture has a box around an object: there is nothing to name")
    counts = _counts(objects, names)
    resampling = Resampling(predictions.groups[rows], params)
    of_name = np.asarray([one.name for one in objects])
    of_row = np.asarray([one.row for one in objects])

    def of(name: str, which: npt.NDArray[np.bool_]) -> NamedObjects:
        by_picture = np.zeros((len(rows), counts.shape[1]))
        np.add.at(by_picture, of_row[which], counts[which])
        return _result(name, by_picture, resampling, tells_apart=not table.contract.merged)

    return BehindDetector(
        onnx_sha256=predictor.sha256,
        detector_sha256=table.contract.sha256,
        data_sha256=manifest.data_sha256("detection"),
        threshold=table.contract.threshold,
        num_images=len(rows),
        num_groups=resampling.num_groups,
        num_too_small=sum(one.is_found and not one.said for one in objects),
        results=(
            of("", np.ones(len(objects), dtype=bool)),
            *(of(name, of_name == number) for number, name in enumerate(names)),
        ),
    )


def _contract_of_crops(predictor: Predictor, names: Sequence[str]) -> ClassificationContract:
    """Return a classifier's contract. Raises EvaluationError unless it names crops, and knows these names."""
    contract = predictor.contract
    if not isinstance(contract, ClassificationContract) or role_of(contract) != "crop-classification":
        raise EvaluationError("the model is no classifier of crops: run `make export TASK=crops`, and name its folder")
    if unknown := sorted(set(names) - set(contract.classes)):
        raise EvaluationError(
            f"the pictures hold {', '.join(unknown)}, which the classifier of crops does not know: train it again "
            "(make train TASK=crops)"
        )
    return contract


def _ask(pictures: _Pictures, rows: Sequence[int], predictor: Predictor) -> list[_Named]:
    """Return the objects of all pictures, each with its names."""
    named: list[_Named] = []
    starts = range(0, len(rows), _PICTURES_AT_ONCE)
    with ThreadPoolExecutor(READERS) as pool:
        for start in progress(starts, "naming", len(starts), "batch"):
            batch_rows = rows[start : start + _PICTURES_AT_ONCE]
            numbers = range(start, start + len(batch_rows))
            batch = [one for read in pool.map(pictures.read, batch_rows, numbers) for one in read]
            answers = iter(_names(predictor, [one.crop for one in batch if one.crop is not None]))
            named += [
                _Named(one.row, one.name, one.is_found, one.own, "" if one.crop is None else next(answers))
                for one in batch
            ]
    return named


def _names(predictor: Predictor, crops: Sequence[ImageArray]) -> list[str]:
    if not crops:
        return []
    probs = predictor.predict(np.stack(crops))[PROBABILITIES]
    return [predictor.contract.classes[number] for number in probs.argmax(axis=1)]


def _counts(objects: Sequence[_Named], names: Sequence[str]) -> FloatArray:
    """Return `(n, 4)` whether each object is one, is found, is called right, and is by the detector."""
    rows = [(1, one.is_found, one.said == names[one.name], one.own == names[one.name]) for one in objects]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 4)


def _result(name: str, counts: FloatArray, resampling: Resampling, *, tells_apart: bool) -> NamedObjects:
    """Return the figures of `(N, 4)` counts of pictures."""
    there, found = (resampling.num_bearing(counts[:, column] > 0) for column in (_OBJECT, _FOUND))
    figures = figure_of_sums(
        resampling,
        counts,
        {
            "right_of_found": lambda s: ratio(s[..., _RIGHT], s[..., _FOUND]),
            "right_of_all": lambda s: ratio(s[..., _RIGHT], s[..., _OBJECT]),
            "detector_right_of_found": lambda s: ratio(s[..., _OWN_RIGHT], s[..., _FOUND]),
        },
        {"right_of_found": found, "right_of_all": there, "detector_right_of_found": found},
    )
    estimates = {title: as_estimate(one) for title, one in figures.items()}
    sums = counts.sum(axis=0).astype(int)
    return NamedObjects(
        name=name,
        num_objects=int(sums[_OBJECT]),
        num_groups=there,
        num_found=int(sums[_FOUND]),
        num_right=int(sums[_RIGHT]),
        right_of_found=estimates["right_of_found"],
        right_of_all=estimates["right_of_all"],
        detector_right_of_found=estimates["detector_right_of_found"] if tells_apart else None,
    )
