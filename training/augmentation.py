"""Random changes to a training picture that keep its label: an image to an image, before `preprocess`.

The only module that knows Albumentations (2.0.8, the last MIT release; its AGPL successor must not be used). Every draw
is seeded by (seed, epoch, picture), so neither the number of workers nor of processes changes what a picture becomes.
"""

import os

import numpy as np

from runtime.image import ImageArray
from training.params import AugmentParams

# Albumentations asks a package index for its newest version when imported; this is its switch.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A  # noqa: N812


class Augmentation:
    """Apply the transforms of `augment:` with a reproducible draw for each picture and epoch."""

    def __init__(self, params: AugmentParams, seed: int) -> None:
        self._seed = seed
        # Cutting at most this share from each side keeps at least crop_min_area of the picture.
        side = (1 - params.crop_min_area**0.5) / 2
        transforms: list[A.BasicTransform] = []
        if side > 0:
            transforms.append(A.RandomCropFromBorders(side, side, side, side, p=1.0))
        if params.flip:
            transforms += [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]
        if params.brightness > 0 or params.contrast > 0:
            limits = {"brightness_limit": params.brightness, "contrast_limit": params.contrast}
            transforms.append(A.RandomBrightnessContrast(**limits, p=0.8))
        self._transforms = transforms
        self._compose = A.Compose(transforms)

    def __call__(self, image_hwc: ImageArray, epoch: int, index: int, repeat: int = 0) -> ImageArray:
        """Return a changed copy of a `(height, width, 3)` uint8 image; the size may shrink."""
        draws = np.random.SeedSequence([self._seed, epoch, index, repeat]).generate_state(len(self._transforms))
        # One seed a transform: Compose would give all the same one, and both flips would always come together.
        for transform, draw in zip(self._transforms, draws, strict=True):
            transform.set_random_seed(int(draw))
        changed: ImageArray = self._compose(image=image_hwc)["image"]
        return changed
