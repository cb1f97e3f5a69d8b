"""MixUp and CutMix: pictures of a batch mixed with each other, their targets in the same proportion.

Partners are neighbours in the batch, 0 with 1, 2 with 3 and so on: the batch is in random order already, and a process
that holds an even share of it holds both partners. In an odd batch, which only one process alone may have, the last
picture takes the first as its partner. The proportion is drawn from (seed, epoch, picture), so the number of processes
changes nothing.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from runtime.model.image import ImageArray
from training.batch_params import AugmentParams

MIX_STREAM = 2  # beside the streams of training/data/augmentation.py
Targets = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


class Mixing:
    """Mix pictures by `mixup_alpha` and `cutmix_alpha`; where both are set, each is drawn half of the time."""

    def __init__(self, params: AugmentParams, seed: int, num_epochs: int | None = None) -> None:
        self._params = params
        self._seed = seed
        self._num_epochs = num_epochs
        self._kinds = [
            (mix, alpha) for mix, alpha in ((mix_up, params.mixup_alpha), (cut_mix, params.cutmix_alpha)) if alpha > 0
        ]

    def __call__(
        self, images: Sequence[ImageArray], targets: Targets, draws: Sequence[tuple[int, int]], epoch: int
    ) -> tuple[list[ImageArray], Targets]:
        """Return mixed pictures and targets.

        images: n of `(height, width, 3)` uint8. targets: `(n, classes)` float32. draws: each picture's index and how
        often the epoch drew it before. The last of an odd number has the first as its partner.
        """
        if not self._params.mixes or not self._params.is_on(epoch, self._num_epochs):
            return list(images), targets
        mixed = [self._mix(images, targets, i, np.random.default_rng([self._seed, epoch, *draw, MIX_STREAM]))
                 for i, draw in enumerate(draws)]  # fmt: skip
        return [image for image, _ in mixed], np.stack([target for _, target in mixed])

    def _mix(
        self, images: Sequence[ImageArray], targets: Targets, i: int, rng: np.random.Generator
    ) -> tuple[ImageArray, Targets]:
        if rng.random() >= self._params.mix_probability:
            return images[i], targets[i]
        partner = i ^ 1 if i ^ 1 < len(images) else 0
        mix, alpha = self._kinds[rng.integers(len(self._kinds))]
        image, share = mix(images[i], images[partner], float(rng.beta(alpha, alpha)), rng)
        target: Targets = (share * targets[i] + (1 - share) * targets[partner]).astype(np.float32)
        return image, target


def mix_up(image: ImageArray, other: ImageArray, share: float, rng: np.random.Generator) -> tuple[ImageArray, float]:  # noqa: ARG001
    """Lay one picture over another; `share` is of the first. Source: Zhang et al. 2018."""
    return cv2.addWeighted(image, share, other, 1 - share, 0.0).astype(np.uint8, copy=False), share


def cut_mix(image: ImageArray, other: ImageArray, share: float, rng: np.random.Generator) -> tuple[ImageArray, float]:
    """Put a rectangle of another picture into this one; return also the share of pixels that stayed.

    The rectangle has the picture's aspect and about `1 - share` of its area, less where it sticks out.
    Source: Yun et al. 2019.
    """
    height, width = image.shape[:2]
    side = (1 - share) ** 0.5
    cut_h, cut_w = round(height * side), round(width * side)
    y, x = int(rng.integers(height)), int(rng.integers(width))
    top, bottom = max(0, y - cut_h // 2), min(height, y + cut_h - cut_h // 2)
    left, right = max(0, x - cut_w // 2), min(width, x + cut_w - cut_w // 2)
    mixed = image.copy()
    mixed[top:bottom, left:right] = other[top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)
