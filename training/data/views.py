"""Random crops as views: which part of a picture is looked at, drawn before the picture is decoded.

A view goes into the one resize of `runtime.model.preprocess`, so a crop costs nothing and large JPEGs still decode at
reduced scale. Coordinates are shares of the picture's sides.
"""

import math

import numpy as np

from runtime.model.preprocess import WHOLE, View
from training.batch_params import AugmentParams

Boxes = np.ndarray[tuple[int, ...], np.dtype[np.float64]]  # (n, 4): left, top, right, bottom
MIN_VISIBLE = 0.1  # share of a box's area below which it is no longer in the picture


def draw_view(rng: np.random.Generator, params: AugmentParams) -> View:
    """Draw a view of at least `crop_min_area` of the picture, its aspect up to `crop_max_aspect` from the picture's.

    As torchvision's RandomResizedCrop, but the area is exact: an aspect that would not fit is brought back.
    """
    if params.crop_min_area == 1:
        return WHOLE
    area = rng.uniform(params.crop_min_area, 1)
    stretch = math.log(params.crop_max_aspect)
    aspect = math.exp(rng.uniform(-stretch, stretch))
    aspect = min(max(aspect, area), 1 / area)
    width, height = min(1.0, math.sqrt(area * aspect)), min(1.0, math.sqrt(area / aspect))
    left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    return left, top, left + width, top + height
