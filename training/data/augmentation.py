"""Random changes to a training picture that keep its label; masks and boxes move with the pixels.

The only module that knows Albumentations (2.0.8, the last MIT release; its AGPL successor must not be used). Every draw
is seeded by (seed, epoch, picture, how often the epoch drew it before), so neither the number of workers nor of
processes, nor a resumed run, changes what a picture becomes.

A picture is cropped while it is resized (`view`), and changed at the size that the model takes (`apply`).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from runtime.model.image import ImageArray
from runtime.model.preprocess import WHOLE, View
from training.batch_params import AugmentParams
from training.data.tone import draw_tone_curve
from training.data.views import MIN_VISIBLE, Boxes, draw_view

# Albumentations asks a package index for its newest version when imported; this is its switch.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A  # noqa: N812

VIEW_STREAM, PIXEL_STREAM = 0, 1  # so that what one draws never shifts the other
# What is moved in from outside mirrors the picture, as its own texture would go on; boxes of mirrored parts come too.
_affine = partial(A.Affine, border_mode=cv2.BORDER_REFLECT_101)


@dataclass(frozen=True)
class Sample:
    """A picture at the model's size with what belongs to it.

    image: `(height, width, 3)` uint8. mask: `(height, width)` uint8 or None. boxes: `(n, 4)` shares of the sides, or
    None. box_ids: which of the boxes given each of `boxes` was; boxes that left the picture are gone.
    """

    image: ImageArray
    mask: ImageArray | None = None
    boxes: Boxes | None = None
    box_ids: tuple[int, ...] | None = None


class Augmentation:
    """Apply the transforms of `augment:` with a reproducible draw for each picture and epoch.

    num_epochs: of the whole run as planned, to be off in the last ones; None if there is no last one. Epochs count as
    planned, too: those that early stopping left out of an earlier phase have their numbers.
    """

    def __init__(self, params: AugmentParams, seed: int, num_epochs: int | None = None) -> None:
        cv2.setNumThreads(0)  # loader processes are the parallelism; its pool also does not survive a fork
        self._params = params
        self._seed = seed
        self._num_epochs = num_epochs
        self._always = [_Step(transform) for transform in _geometry(params)]
        self._choices = [_Step(transform) for transform in _randaugment(params.randaugment_magnitude)]
        self._erasing = [_Step(transform) for transform in _erasing(params)]

    def view(self, epoch: int, index: int, repeat: int = 0) -> View:
        """Return the part of the picture that this draw looks at."""
        if not self._params.is_on(epoch, self._num_epochs):
            return WHOLE
        return draw_view(self._rng(VIEW_STREAM, epoch, index, repeat), self._params)

    def __call__(self, image_hwc: ImageArray, epoch: int, index: int, repeat: int = 0) -> ImageArray:
        """Return a changed copy of an `(height, width, 3)` uint8 image, of the same size."""
        return self.apply(Sample(image_hwc), epoch, index, repeat).image

    def apply(self, sample: Sample, epoch: int, index: int, repeat: int = 0) -> Sample:
        """Return the sample after the same draw as `__call__`."""
        if not self._params.is_on(epoch, self._num_epochs):
            return sample
        rng = self._rng(PIXEL_STREAM, epoch, index, repeat)
        curve = draw_tone_curve(rng, self._params)
        if curve is not None:
            exposed: ImageArray = cv2.LUT(sample.image, curve).astype(np.uint8, copy=False)
            sample = Sample(exposed, sample.mask, sample.boxes, sample.box_ids)
        for step in self._steps(rng):
            # One seed a step: Compose would give all of one call the same, and both flips would always come together.
            sample = step(sample, int(rng.integers(2**32)))
        return sample

    def _steps(self, rng: np.random.Generator) -> Sequence["_Step"]:
        chosen = rng.integers(len(self._choices), size=self._params.randaugment_num_ops)
        return [*self._always, *(self._choices[i] for i in chosen), *self._erasing]

    def _rng(self, stream: int, epoch: int, index: int, repeat: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, epoch, index, repeat, stream])


class _Step:
    """One transform of Albumentations, with and without boxes."""

    def __init__(self, transform: A.BasicTransform) -> None:
        self._transform = transform
        self._plain = A.Compose([transform])
        boxes = A.BboxParams(
            "albumentations", label_fields=["box_ids"], clip=True, min_visibility=MIN_VISIBLE, min_area=1
        )
        self._boxed = A.Compose([transform], bbox_params=boxes) if isinstance(transform, A.DualTransform) else None

    def __call__(self, sample: Sample, seed: int) -> Sample:
        self._transform.set_random_seed(seed)
        targets = {"image": sample.image}
        if sample.mask is not None:
            targets["mask"] = sample.mask
        if sample.boxes is None:
            changed = self._plain(**targets)
            return Sample(changed["image"], changed.get("mask"))
        if self._boxed is None:  # moves nothing
            return Sample(self._plain(**targets)["image"], sample.mask, sample.boxes, sample.box_ids)
        ids = range(len(sample.boxes)) if sample.box_ids is None else sample.box_ids
        changed = self._boxed(**targets, bboxes=sample.boxes, box_ids=list(ids))
        boxes = np.asarray(changed["bboxes"], dtype=np.float64).reshape(-1, 4)
        return Sample(changed["image"], changed.get("mask"), boxes, tuple(int(i) for i in changed["box_ids"]))


def _geometry(params: AugmentParams) -> list[A.BasicTransform]:
    transforms: list[A.BasicTransform] = []
    if params.flip in (True, "horizontal"):
        transforms.append(A.HorizontalFlip(p=0.5))
    if params.flip in (True, "vertical"):
        transforms.append(A.VerticalFlip(p=0.5))
    if params.rotate_degrees or params.scale or params.translate or params.shear_degrees:
        transforms.append(
            _affine(
                rotate=(-params.rotate_degrees, params.rotate_degrees),
                scale=(1 - params.scale, 1 + params.scale),
                translate_percent=(-params.translate, params.translate),
                shear=(-params.shear_degrees, params.shear_degrees),
                p=1,
            )
        )
    return transforms


def _randaugment(magnitude: float) -> list[A.BasicTransform]:
    """Operations of RandAugment (Cubuk et al. 2020) at a strength of 0 to 10, either way where there are two.

    Shifts stop at 0.3 of a side instead of 0.45, so that the middle of a picture, and what is in it, stays in view.
    """
    share = magnitude / 10

    def both(limit: float) -> tuple[float, float]:
        return -limit, limit

    return [
        A.AutoContrast(method="pil", p=1),
        A.Equalize(mode="cv", p=1),
        A.Solarize(threshold_range=(1 - share / 2, 1), p=1),
        A.Posterize(num_bits=min(7, round(8 - 4 * share)), p=1),
        A.RandomBrightnessContrast(brightness_limit=both(0.5 * share), contrast_limit=0, p=1),
        A.RandomBrightnessContrast(brightness_limit=0, contrast_limit=both(0.9 * share), p=1),
        A.ColorJitter((1, 1), (1, 1), saturation=(1 - 0.9 * share, 1 + 0.9 * share), hue=(0, 0), p=1),
        A.Sharpen(alpha=(0, 0.9 * share), p=1),
        _affine(rotate=both(30 * share), p=1),
        _affine(shear={"x": both(17 * share), "y": (0, 0)}, p=1),
        _affine(shear={"x": (0, 0), "y": both(17 * share)}, p=1),
        _affine(translate_percent={"x": both(0.3 * share), "y": (0, 0)}, p=1),
        _affine(translate_percent={"x": (0, 0), "y": both(0.3 * share)}, p=1),
    ]


def _erasing(params: AugmentParams) -> list[A.BasicTransform]:
    """RandomErasing (Zhong et al. 2020): a rectangle of noise; what it covers is no longer in the mask."""
    if params.erasing_probability == 0:
        return []
    scale = (min(0.02, params.erasing_max_area), params.erasing_max_area)
    return [A.Erasing(scale=scale, fill="random", fill_mask=0, p=params.erasing_probability)]
