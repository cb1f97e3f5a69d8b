"""What the served model says of pictures beside what is known of them: in words, and drawn in, for the demo."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dataset.annotations import IGNORED, MaskArray, marked, read_mask
from dataset.boxes import Boxes, BoxesOfPicture
from dataset.manifest import Manifest
from evaluation.boxes.matching import Truth
from evaluation.boxes.picture_boxes import PictureBoxes, match_all
from evaluation.predicted_boxes import PredictedBoxes
from runtime.answers.detection import Detections
from runtime.answers.index_mask import colour_of, paint_regions
from runtime.answers.results import Prediction
from runtime.answers.segmentation import Segmentation
from runtime.model.contract import ModelContract
from runtime.model.image import ImageArray

LINE_PX = 2
Panel = tuple[ImageArray, str]  # a drawn picture and what it shows


@dataclass(frozen=True)
class Picture:
    """A picture to send; `label` is the true one, empty if it is not known.

    mask: the file of what is marked in it. boxes: of the objects in it, in pixels of the picture.
    """

    path: Path
    label: str
    mask: Path | None = None
    boxes: BoxesOfPicture | None = None


def with_boxes(pictures: Sequence[Picture], manifest_path: Path, contract: ModelContract) -> list[Picture]:
    """Return the manifest's pictures with their true boxes, in the numbers of the contract's objects.

    Raises ManifestError for a manifest or for boxes that cannot be read.
    """
    manifest = Manifest.read(manifest_path)
    boxes = Boxes(manifest, contract)
    rows = {manifest_path.parent / path: row for row, path in enumerate(manifest.table["path"])}
    return [replace(picture, boxes=boxes.in_picture(rows[picture.path])) for picture in pictures]


def words_beside_truth(picture: Picture, answer: Prediction) -> tuple[str, str] | None:
    """Say what was found in a picture, and how that fits what is known; None for an answer that finds nothing."""
    if isinstance(answer, Segmentation):
        return regions_in_words(answer), overlap_in_words(overlap(picture, answer))
    if isinstance(answer, Detections):
        return boxes_in_words(answer), found_in_words(picture, answer)
    return None


def panels(picture: Picture, answer: Prediction, image: ImageArray) -> list[Panel]:
    """Return the picture, and, where the answer says what lies where, what is known and the answer drawn in.

    image: the picture, `(h, w, 3)` uint8, perhaps smaller than it is. Raises ManifestError for a mask that cannot be
    read.
    """
    shown: list[Panel] = [(image, "the picture")]
    if isinstance(answer, Segmentation):
        shown.append((_outlined(image, truth_of(picture, answer)), "its mask"))
        shown.append((_outlined(image, paint_regions(answer)), "the answer"))
    elif isinstance(answer, Detections):
        size = answer.width, answer.height
        if picture.boxes is not None:
            known = picture.boxes
            shown.append(
                (_boxed(image, size, known.corners[~known.ignored], known.objects[~known.ignored]), "its boxes")
            )
        shown.append((_boxed(image, size, *_corners_and_objects(answer)), "the answer"))
    return shown


def regions_in_words(answer: Segmentation) -> str:
    """Name the regions of an answer: how many there are of each kind."""
    return _counted([region.label for region in answer.regions]) or "no region"


def boxes_in_words(answer: Detections) -> str:
    """Name the objects of an answer: how many there are of each kind."""
    return _counted([found.class_name for found in answer.detections]) or "no object"


def truth_of(picture: Picture, answer: Segmentation) -> MaskArray:
    """Return `(height, width)` uint8: the picture's mask, all background where it has none.

    Raises ManifestError if it cannot be read.
    """
    return read_mask(picture.mask) if picture.mask else np.zeros((answer.height, answer.width), dtype=np.uint8)


def overlap(picture: Picture, answer: Segmentation) -> float | None:
    """Return the intersection over union of mask and answer, region by region; None where neither marks a pixel."""
    truth, found = truth_of(picture, answer), paint_regions(answer)
    known = truth != IGNORED
    union = int(((marked(truth) | marked(found)) & known).sum())
    return int(((truth == found) & marked(truth)).sum()) / union if union else None


def overlap_in_words(value: float | None) -> str:
    """State an overlap as a person reads it."""
    return "nothing to mark" if value is None else f"overlap with the mask {value:.0%}"


def found_in_words(picture: Picture, answer: Detections) -> str:
    """Say how many of the picture's objects the answer finds, by name and at an overlap of one half, and what not."""
    if picture.boxes is None:
        return "its objects are not known"
    corners, objects, ignored = picture.boxes
    found, numbers = _corners_and_objects(answer)
    scores = np.asarray([one.score for one in answer.detections])
    truth = Truth(corners.astype(np.float64), objects.astype(np.int64), ignored)
    compared = [PictureBoxes(truth, PredictedBoxes(found, scores, numbers), threshold=0.0)]  # all that was answered
    counts = [match_all(compared, number).counts()[0] for number in {*objects.tolist(), *numbers.tolist()}]
    num_found, num_boxes, num_there = np.sum(counts, axis=0).tolist() if counts else (0, 0, 0)
    words = f"{num_found} of {num_there} found" if num_there else "nothing to find"
    return words + (f", {num_boxes - num_found} wrong" if num_boxes > num_found else "")


def _counted(names: Sequence[str]) -> str:
    return ", ".join(f"{number} x {name}" for name, number in Counter(names).items())


def _corners_and_objects(answer: Detections) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return `(n, 4)` left, top, right, bottom and `(n,)` numbers of what was found, the surest first."""
    corners = [(found.box.x1, found.box.y1, found.box.x2, found.box.y2) for found in answer.detections]
    numbers = [found.class_id for found in answer.detections]
    return np.asarray(corners, dtype=np.float64).reshape(-1, 4), np.asarray(numbers, dtype=np.int64)


def _boxed(
    image: ImageArray, size: tuple[int, int], corners: npt.NDArray[np.floating], objects: npt.NDArray[np.integer]
) -> ImageArray:
    """Return a copy of `(h, w, 3)` with boxes, a colour for each object; size: width and height that boxes are of."""
    height, width = image.shape[:2]
    copy = np.ascontiguousarray(image).copy()
    scaled = np.rint(corners * (np.asarray([width, height] * 2) / np.asarray([*size, *size]))).astype(int)
    for (left, top, right, bottom), number in zip(scaled.tolist(), objects.tolist(), strict=True):
        # Around the box, so that the line hides nothing of a small object, but within the picture.
        first = max(left - LINE_PX, 1), max(top - LINE_PX, 1)
        last = min(right + 1, width - LINE_PX), min(bottom + 1, height - LINE_PX)
        cv2.rectangle(copy, first, last, colour_of(number), LINE_PX)
    return copy


def _outlined(image: ImageArray, mask: MaskArray) -> ImageArray:
    """Return a copy of `(h, w, 3)` with the outlines of a mask of any size, a colour for each region."""
    height, width = image.shape[:2]
    copy = np.ascontiguousarray(image).copy()
    for value in np.unique(mask[marked(mask)]).tolist():
        # By area, so that a mark which is smaller than a pixel here leaves one all the same.
        share = cv2.resize((mask == value).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        edges, _ = cv2.findContours(
            (share > min(0.5, share.max() / 2)).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(copy, edges, -1, colour_of(value - 1), LINE_PX)
    return copy
