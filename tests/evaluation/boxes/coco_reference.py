"""Random pictures with boxes, and what pycocotools' own evaluation makes of them."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluation.boxes.matching import Truth
from evaluation.predicted_boxes import PredictedBoxes

Picture = tuple[Truth, PredictedBoxes]


def random_pictures(seed: int, num_pictures: int = 12, num_objects: int = 3) -> list[Picture]:
    """Return pictures with up to 6 objects, some ignored, and up to 12 boxes near them or anywhere; scores tie."""
    rng = np.random.default_rng(seed)
    return [_picture(rng, num_objects) for _ in range(num_pictures)]


def _picture(rng: np.random.Generator, num_objects: int) -> Picture:
    there = _boxes(rng, int(rng.integers(0, 7)))
    truth = Truth(there, rng.integers(num_objects, size=len(there)), rng.random(len(there)) < 0.2)
    near = there[rng.integers(len(there), size=rng.integers(0, 9))] if len(there) else there
    shifted = near + rng.integers(-4, 5, size=near.shape)
    corners = np.concatenate([near[::2], shifted, _boxes(rng, int(rng.integers(0, 4)))])
    corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + 1)
    scores = np.sort(rng.integers(1, 20, size=len(corners)) / 20)[::-1]
    return truth, PredictedBoxes(corners, scores, rng.integers(num_objects, size=len(corners)))


def _boxes(rng: np.random.Generator, number: int) -> np.ndarray:
    first = rng.integers(0, 100, size=(number, 2))
    return np.hstack([first, first + rng.integers(4, 120, size=(number, 2))]).astype(np.float64)


def coco_evaluation(
    pictures: Sequence[Picture], num_objects: int, *, any_object: bool = False, areas: Any = None
) -> COCOeval:
    """Return pycocotools' evaluation after `accumulate`. areas: pairs in square pixels, its own if None."""
    truths, found = [], []
    for image, (truth, boxes) in enumerate(pictures, start=1):
        for corners, name, ignored in zip(*truth, strict=True):
            box = [*corners[:2], *(corners[2:] - corners[:2])]
            truths.append({"bbox": box, "area": box[2] * box[3], "iscrowd": int(ignored), "category_id": int(name) + 1})
            truths[-1] |= {"image_id": image, "id": len(truths)}
        for corners, score, name in zip(*boxes, strict=True):
            box = [*corners[:2], *(corners[2:] - corners[:2])]
            found.append({"bbox": box, "area": box[2] * box[3], "score": float(score), "category_id": int(name) + 1})
            found[-1] |= {"image_id": image, "id": len(found), "iscrowd": 0}
    images = [{"id": image} for image in range(1, len(pictures) + 1)]
    categories = [{"id": name} for name in range(1, num_objects + 1)]
    with contextlib.redirect_stdout(io.StringIO()):
        both = []
        for annotations in (truths, found):
            coco = COCO()
            coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
            coco.createIndex()
            both.append(coco)
        evaluation = COCOeval(*both, "bbox")
        evaluation.params.useCats = int(not any_object)
        if areas is not None:
            evaluation.params.areaRng = [list(area) for area in areas]
            evaluation.params.areaRngLbl = [str(area) for area in areas]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation
