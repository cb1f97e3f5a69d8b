"""Occlusion maps point at what a model looks at; a model that looks beside the defect is told apart."""

import numpy as np
import pytest

from evaluation.analyses.attention import mask_agreement, occlusion_map, patch_and_stride, share_inside
from evaluation.statistics.bootstrap import Resampling
from tests.evaluation.made_up import PARAMS

SIDE = 42


def looking_at(rows: slice, columns: slice):  # type: ignore[no-untyped-def]
    """A two-class model whose second probability is the mean brightness of one place."""

    def predict(images: np.ndarray) -> np.ndarray:
        bright = images[:, rows, columns].mean(axis=(1, 2, 3)) / 255
        probs = np.clip(0.05 + 0.9 * bright, 0, 1)
        return np.stack([1 - probs, probs], axis=1)

    return predict


def picture() -> np.ndarray:
    image = np.full((SIDE, SIDE, 3), 60, np.uint8)
    image[6:18, 24:36] = 250
    return image


def test_attribution_lies_where_the_model_looks() -> None:
    attribution = occlusion_map(picture(), looking_at(slice(6, 18), slice(24, 36)), 1)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[6:18, 24:36] = True
    share = share_inside(attribution, mask)
    assert share is not None
    assert share > 5 * mask.mean()
    row, column = np.unravel_index(attribution.argmax(), attribution.shape)
    assert mask[row, column]


def test_a_model_that_looks_elsewhere_gets_no_more_than_chance() -> None:
    attribution = occlusion_map(picture(), looking_at(slice(30, 42), slice(0, 12)), 0)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[6:18, 24:36] = True
    share = share_inside(attribution, mask)
    assert share is None or share < mask.mean()


def test_a_model_that_looks_nowhere_has_no_attribution() -> None:
    attribution = occlusion_map(picture(), lambda images: np.tile([0.3, 0.7], (len(images), 1)), 1)
    assert share_inside(attribution, np.ones((SIDE, SIDE), bool)) is None


def test_every_pixel_is_covered_also_where_squares_do_not_fit() -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    attribution = occlusion_map(image, looking_at(slice(0, 37), slice(0, 53)), 1)
    assert attribution.shape == (37, 53)
    assert np.isfinite(attribution).all()
    patch_px, stride_px = patch_and_stride(37, 53)
    assert 1 <= stride_px < patch_px < 37


def test_agreement_is_a_mean_over_pictures_with_an_interval_over_groups() -> None:
    rng = np.random.default_rng(0)
    shares, chance = rng.uniform(0.3, 0.6, 40), rng.uniform(0.05, 0.15, 40)
    groups = np.repeat(np.arange(20), 2).astype(str).astype(object)
    got = mask_agreement(shares, chance, Resampling(groups, PARAMS))
    assert got.share_in_mask.value == pytest.approx(shares.mean())
    assert got.ratio.value == pytest.approx(shares.mean() / chance.mean())
    assert got.ratio.low is not None
    assert got.ratio.low > 1
