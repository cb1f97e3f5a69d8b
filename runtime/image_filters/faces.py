"""A ready filter: blur faces where an answer is drawn on its picture.

It brings no weights: `python -m export.face_detector` makes a file that it takes of CenterFace's (docs/FILTERS.md).
"""

import numpy as np
from PIL import Image

from runtime.answers.classification import Prediction
from runtime.image_filters.looking import Area, Look, Seen
from runtime.image_filters.model_file import FloatArray, ModelFile
from runtime.model.image import ImageArray

_STRIDE = 4  # pixels of the input for a place of its outputs
_MULTIPLE = 32  # of which the input's sides must be one
_OVERLAP = 0.3  # IoU from which two boxes are of one face
_MARGIN = 0.15  # of a box's side, on each side: hair and chin
_MOST = 500  # of the surest places: what noise gives is bounded


def faces(*, file: str, sha256: str, min_score: float = 0.3) -> Look:
    """Return what looks, with a detector of faces that has CenterFace's outputs.

    file, sha256: a graph that takes `(1, 3, H, W)` float32 RGB, 0 to 255, H and W multiples of 32, and gives, at a
    quarter of that, `(1, 1, h, w)` scores, then the logarithms of heights and widths and the offsets of centres, each
    `(1, 2, h, w)`, the vertical one first. min_score: from which a place is a face. Raises ValueError for another
    graph.
    """
    if not 0 < min_score < 1:
        raise ValueError(f"min_score must be between 0 and 1, got {min_score}")
    model = ModelFile.open(file, sha256)
    if model.size != (None, None):
        raise ValueError(
            f"the input of {file} has the fixed size {model.size}: `python -m export.face_detector` frees it"
        )

    def find(pixels: ImageArray) -> list[Area]:
        height, width = pixels.shape[:2]
        size = -(-width // _MULTIPLE) * _MULTIPLE, -(-height // _MULTIPLE) * _MULTIPLE
        resized = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR), np.float32)
        scores, sizes, offsets = model.run(resized)[:3]
        _check(scores, sizes, offsets, size, file)
        boxes = boxes_of(scores[0, 0], sizes[0], offsets[0], min_score)
        return [_widened(box, (width / size[0], height / size[1])) for box in boxes]

    find(np.zeros((_MULTIPLE, 2 * _MULTIPLE, 3), np.uint8))

    def look(pixels: ImageArray, answer: Prediction) -> Seen[Prediction]:
        return Seen(answer, blurred=find(pixels))

    return look


def boxes_of(scores: FloatArray, sizes: FloatArray, offsets: FloatArray, min_score: float) -> list[Area]:
    """Return left, top, right and bottom of each face in pixels of the input, the surest first, one a face.

    scores: `(h, w)`. sizes, offsets: `(2, h, w)`, the vertical one first.
    """
    rows, columns = np.nonzero(scores >= min_score)
    surest = np.argsort(-scores[rows, columns], kind="stable")[:_MOST]
    rows, columns = rows[surest], columns[surest]
    tall, wide = _STRIDE * np.exp(np.minimum(sizes[:, rows, columns], 20.0))
    y = _STRIDE * (rows + offsets[0, rows, columns] + 0.5)
    x = _STRIDE * (columns + offsets[1, rows, columns] + 0.5)
    boxes = np.stack([x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2], axis=1).tolist()
    kept: list[Area] = []
    for box in boxes:
        if all(_iou(box, other) < _OVERLAP for other in kept):
            kept.append(tuple(box))
    return kept


def _iou(one: Area, other: Area) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return across * down / (sum(areas) - across * down)


def _widened(box: Area, scale: tuple[float, float]) -> Area:
    left, top, right, bottom = box
    across, down = _MARGIN * (right - left), _MARGIN * (bottom - top)
    return (
        (left - across) * scale[0], (top - down) * scale[1], (right + across) * scale[0], (bottom + down) * scale[1]
    )  # fmt: skip


def _check(scores: FloatArray, sizes: FloatArray, offsets: FloatArray, size: tuple[int, int], file: str) -> None:
    place = size[1] // _STRIDE, size[0] // _STRIDE
    shapes = [np.shape(output) for output in (scores, sizes, offsets)]
    if shapes != [(1, 1, *place), (1, 2, *place), (1, 2, *place)]:
        raise ValueError(
            f"{file} answers {shapes}, which is not what CenterFace gives for {size[1]} x {size[0]} pixels"
        )
    if not all(np.isfinite(output).all() for output in (scores, sizes, offsets)):
        raise ValueError(f"{file} answers numbers that are not finite")
