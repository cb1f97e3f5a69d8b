"""Where the model looks: how much covering a part of the picture lowers the probability of the answer."""

import numpy as np
import numpy.typing as npt

from evaluation.document import Count, Document, Estimate, Figure, Share
from evaluation.statistics.bootstrap import Resampling, as_estimate, figure_of_sums, ratio
from evaluation.statistics.parity import Predict
from runtime.model.image import ImageArray

BATCH_SIZE = 4  # takes a tenth less CPU time than 32: more activations fit the cache
# Squares along a side, each moved by half its length: enough to place a defect, few enough to ask a model on a CPU.
_PATCHES_PER_SIDE = 7
_LEAST_PROBABILITY = 1e-7  # what 32-bit floats can tell from 0 and 1

FloatArray = npt.NDArray[np.float64]


class OcclusionMap(Document):
    """One picture and what its answer hangs on; `picture` is the overlay's file beside the document.

    `share_in_mask` is the part of the attribution that lies inside the defect's mask, `mask_share` the mask's part of
    the picture, which is what attribution without aim would reach; both null without a mask.
    """

    path: str
    sha256: str
    label: str
    predicted: str
    probability: Share
    is_error: bool
    picture: str
    share_in_mask: Share | None
    mask_share: Share | None


class MaskAgreement(Document):
    """Attribution inside masks over `num_images` correctly recognised test pictures that have one.

    `share_in_mask` and `chance` are means over pictures; `ratio` is the first over the second, 1 for no aim at all.
    """

    num_images: Count
    num_groups: Count
    share_in_mask: Estimate
    chance: Estimate
    ratio: Figure


class Attention(Document):
    """Occlusion maps of the worst errors of each class, and how far attribution agrees with masks where there are any.

    A square of `patch_px` of the model's input is replaced by the picture's mean colour, every `stride_px`; attribution
    is by how much that lowers the log-odds of the answer, and none where it raises them. `no_masks` says why there is
    no `mask_agreement`.
    """

    patch_px: Count
    stride_px: Count
    maps: tuple[OcclusionMap, ...]
    mask_agreement: MaskAgreement | None
    no_masks: str = ""


def patch_and_stride(height: int, width: int) -> tuple[int, int]:
    """Return the side of the square and by how much it is moved, pixels of the model's input."""
    patch_px = max(2, round(min(height, width) / _PATCHES_PER_SIDE))
    return patch_px, max(1, patch_px // 2)


def occlusion_map(image_hwc: ImageArray, predict: Predict, class_index: int) -> FloatArray:
    """Return `(height, width)` attribution of the class's probability, 0 or more (Zeiler and Fergus 2014).

    image_hwc: the model's input, `(height, width, 3)` uint8. predict: `(N, height, width, 3)` -> `(N, C)`.
    A pixel's attribution is the mean over the squares that cover it of how much each lowers the log-odds.
    """
    height, width = image_hwc.shape[:2]
    patch_px, stride_px = patch_and_stride(height, width)
    corners = [
        (top, left) for top in _starts(height, patch_px, stride_px) for left in _starts(width, patch_px, stride_px)
    ]
    colour = np.rint(image_hwc.mean(axis=(0, 1))).astype(np.uint8)
    before = _log_odds(predict(image_hwc[None])[:, class_index])[0]
    total, covered = np.zeros((height, width)), np.zeros((height, width))
    for start in range(0, len(corners), BATCH_SIZE):
        some = corners[start : start + BATCH_SIZE]
        batch = np.repeat(image_hwc[None], len(some), axis=0)
        for image, (top, left) in zip(batch, some, strict=True):
            image[top : top + patch_px, left : left + patch_px] = colour
        drops = before - _log_odds(predict(batch)[:, class_index])
        for drop, (top, left) in zip(drops, some, strict=True):
            total[top : top + patch_px, left : left + patch_px] += max(float(drop), 0.0)
            covered[top : top + patch_px, left : left + patch_px] += 1
    return total / covered


def share_inside(attribution: FloatArray, mask: npt.NDArray[np.bool_]) -> float | None:
    """Return the part of the attribution that lies inside the mask, in [0, 1]; None if there is no attribution."""
    total = float(attribution.sum())
    return min(float(attribution[mask].sum()) / total, 1.0) if total > 0 else None


def mask_agreement(shares: FloatArray, mask_shares: FloatArray, resampling: Resampling) -> MaskAgreement:
    """Average over pictures; see `MaskAgreement`. shares, mask_shares: `(N,)`."""
    figures = figure_of_sums(
        resampling,
        np.column_stack([np.ones(len(shares)), shares, mask_shares]),
        {
            "share": lambda s: s[..., 1] / s[..., 0],
            "chance": lambda s: s[..., 2] / s[..., 0],
            "ratio": lambda s: ratio(s[..., 1], s[..., 2]),
        },
    )
    return MaskAgreement(
        num_images=len(shares),
        num_groups=resampling.num_groups,
        share_in_mask=as_estimate(figures["share"]),
        chance=as_estimate(figures["chance"]),
        ratio=figures["ratio"],
    )


def _starts(side: int, patch_px: int, stride_px: int) -> list[int]:
    """Return where squares begin along a side; the last one ends at the edge."""
    return sorted({*range(0, side - patch_px, stride_px), side - patch_px})


def _log_odds(probs: npt.NDArray[np.floating]) -> FloatArray:
    inside = np.clip(probs.astype(np.float64), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.asarray(np.log(inside) - np.log1p(-inside), dtype=np.float64)
