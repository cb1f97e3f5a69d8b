"""Is a part of the images wrong more often than the rest, given that images of one group are right or wrong together?

Fisher's exact test on effective counts (Rao and Scott 1992, A simple method for the analysis of clustered binary data):
m images of one group count as m / (1 + (m - 1) * rho) facts, with rho the intraclass correlation of being right over
all images. The spread is that of all images and not of the part, so that a part in which every image is wrong proves no
more than its number of groups can.
"""

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IdArray = npt.NDArray[np.intp]


def intraclass_correlation(right: BoolArray | FloatArray, group_ids: IdArray) -> float:
    """Return the ANOVA estimate of how alike images of one group are, in [0, 1]; 0 if every image is a group.

    right: `(N,)`, or any other number for each image. group_ids: `(N,)` in [0, G).
    """
    sizes = np.bincount(group_ids)
    sizes = sizes[sizes > 0]
    num_images, num_groups = len(right), len(sizes)
    if num_groups < 2 or num_images == num_groups:
        return 0.0
    counts = np.bincount(group_ids)
    means = np.bincount(group_ids, right) / np.maximum(counts, 1)
    between = float((counts * (means - right.mean()) ** 2).sum()) / (num_groups - 1)
    within = float(((right - means[group_ids]) ** 2).sum()) / (num_images - num_groups)
    size = (num_images - (sizes**2).sum() / num_images) / (num_groups - 1)
    whole = between + (size - 1) * within
    return float(np.clip((between - within) / whole, 0, 1)) if whole > 0 else 0.0


def p_value_of_being_worse(right: BoolArray, inside: BoolArray, group_ids: IdArray, correlation: float) -> float:
    """Return the one-sided p-value that images `inside` are right as often as the others.

    right, inside: `(N,)`, with images on both sides. correlation: of `intraclass_correlation` over all images.
    """
    from scipy.stats import hypergeom  # takes half a second: whoever only reads figures needs none of it

    num_inside, num_right_inside = _effective(right, inside, group_ids, correlation)
    num_outside, num_right_outside = _effective(right, ~inside, group_ids, correlation)
    total, num_right = num_inside + num_outside, num_right_inside + num_right_outside
    return float(np.clip(hypergeom.cdf(num_right_inside, total, num_right, num_inside), 0, 1))


def _effective(right: BoolArray, rows: BoolArray, group_ids: IdArray, correlation: float) -> tuple[int, int]:
    """Return the effective number of images and of right ones among `rows`."""
    sizes = np.bincount(group_ids[rows])
    design_effect = 1 + (float((sizes**2).sum()) / rows.sum() - 1) * correlation
    number = max(1, round(float(rows.sum()) / design_effect))
    return number, round(number * float(right[rows].mean()))
