"""A ready filter: withhold or mark the answer to a picture that a classifier knows for what must not be seen.

It brings no weights: docs/FILTERS.md says which it was tried with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from PIL import Image

from runtime.answers.classification import Prediction
from runtime.image_filters.looking import Look, Seen
from runtime.image_filters.model_file import FloatArray, ModelFile
from runtime.model.image import ImageArray


def nsfw(
    *,
    file: str,
    sha256: str,
    threshold: float,
    class_index: int = 1,
    action: Literal["withhold", "mark"] = "withhold",
    mark: str = "nsfw",
    channels: Literal["bgr", "rgb"] = "bgr",
    mean: Sequence[float] = (104.0, 117.0, 123.0),
    scale: Sequence[float] = (1.0, 1.0, 1.0),
    enlarged: float = 256 / 224,
) -> Look:
    """Return what looks, with a classifier in ONNX; what is not stated suits Yahoo's open_nsfw.

    file, sha256: the classifier; its input has a fixed size, its first output is `(1, C)` probabilities. threshold: the
    probability of the class `class_index` from which the answer is withheld, or gets the mark. channels: the order of
    colours. mean, scale: what is subtracted from and then multiplies each channel, 0 to 255, in that order. enlarged:
    the picture is stretched to so many times the input's size, whose centre is taken. Raises ValueError for options
    that fit neither each other nor the file.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")
    if action not in ("withhold", "mark") or channels not in ("bgr", "rgb") or enlarged < 1:
        raise ValueError(
            "expected action withhold or mark, channels bgr or rgb, enlarged of 1 or more, "
            f"got {action}, {channels}, {enlarged}"
        )
    classifier = _Classifier.open(file, sha256, class_index, channels == "bgr", mean, scale, enlarged)

    def look(pixels: ImageArray, answer: Prediction) -> Seen[Prediction]:
        if classifier.probability(pixels) < threshold:
            return Seen(answer)
        if action == "withhold":
            return Seen(answer, withheld=f"this picture may not be answered for ({mark})")
        return Seen(answer.model_copy(update={"marks": (*answer.marks, mark)}))

    return look


@dataclass(frozen=True)
class _Classifier:
    """A classifier that says how sure it is of one class; the fields are what `nsfw` is told, size the input's."""

    model: ModelFile
    file: str
    class_index: int
    is_bgr: bool
    mean: FloatArray
    scale: FloatArray
    enlarged: float
    size: tuple[int, int]

    @classmethod
    def open(
        cls, file: str, sha256: str, class_index: int, is_bgr: bool, mean: Sequence[float], scale: Sequence[float],
        enlarged: float,
    ) -> Self:  # fmt: skip
        """Load it and ask it once. Raises ValueError if it cannot be used."""
        means, scales = np.asarray(mean, np.float32), np.asarray(scale, np.float32)
        if means.shape != (3,) or scales.shape != (3,):
            raise ValueError(f"mean and scale have a number for each of three channels, got {mean} and {scale}")
        model = ModelFile.open(file, sha256)
        height, width = model.size
        if height is None or width is None:
            raise ValueError(f"the input of {file} has no fixed size")
        classifier = cls(model, file, class_index, is_bgr, means, scales, enlarged, (height, width))
        classifier.probability(np.zeros((height, width, 3), np.uint8))
        return classifier

    def probability(self, pixels: ImageArray) -> float:
        """Return that of the class for one picture. Raises ValueError if the file gives none."""
        centre = _centre(pixels, self.size, self.enlarged).astype(np.float32)
        ordered = centre[:, :, ::-1] if self.is_bgr else centre
        rows = np.asarray(self.model.run((ordered - self.mean) * self.scale)[0])
        if rows.ndim != 2 or not 0 <= self.class_index < rows.shape[1]:
            raise ValueError(f"{self.file} answers {rows.shape}, which has no class {self.class_index}")
        value = float(rows[0, self.class_index])
        if not -1e-3 <= value <= 1 + 1e-3:  # NaN, too
            raise ValueError(f"{self.file} answers {value}, which is no probability")
        return value


def _centre(pixels: ImageArray, size: tuple[int, int], enlarged: float) -> ImageArray:
    height, width = round(size[0] * enlarged), round(size[1] * enlarged)
    resized = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return resized[top : top + size[0], left : left + size[1]]
