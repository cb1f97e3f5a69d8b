"""Crops keep the area they promise and what lies in the middle."""

from typing import Literal

import numpy as np
import pytest

from runtime.model.contract import ClassificationContract
from runtime.model.preprocess import WHOLE, preprocess, sufficient_size
from training.batch_params import AugmentParams
from training.data.views import Boxes, draw_view


def _views(min_area: float, max_aspect: float = 1.0, num: int = 300) -> Boxes:
    params = AugmentParams(flip=False, brightness=0, contrast=0, crop_min_area=min_area, crop_max_aspect=max_aspect)
    return np.array([draw_view(np.random.default_rng(i), params) for i in range(num)])


def test_a_crop_keeps_the_promised_area_and_stays_in_the_picture() -> None:
    for max_aspect in (1.0, 1.5, 4.0):
        views = _views(0.7, max_aspect)
        areas = (views[:, 2] - views[:, 0]) * (views[:, 3] - views[:, 1])
        assert 0.7 - 1e-9 <= areas.min() < 0.72
        assert 0.98 < areas.max() <= 1
        assert views.min() >= 0
        assert views.max() <= 1 + 1e-9


def test_aspects_spread_as_far_as_asked() -> None:
    views = _views(0.5, 1.5)
    aspects = (views[:, 2] - views[:, 0]) / (views[:, 3] - views[:, 1])
    assert 1 / 1.51 < aspects.min() < 0.72
    assert 1.4 < aspects.max() < 1.51
    equal = _views(0.5)
    np.testing.assert_allclose(equal[:, 2] - equal[:, 0], equal[:, 3] - equal[:, 1])


def test_what_is_in_the_middle_is_in_every_crop() -> None:
    """With a share s of each side, nothing between 1 - s and s is ever cut: this bounds how small crops may be."""
    side = 0.6**0.5
    views = _views(0.6)
    assert (views[:, :2] <= 1 - side + 1e-9).all()
    assert (views[:, 2:] >= side - 1e-9).all()


def test_no_crop_is_the_whole_picture() -> None:
    assert (_views(1.0, 2.0, 3) == WHOLE).all()


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_the_picture_of_a_view_is_that_of_the_cut_out_part(resize: Literal["stretch", "letterbox", "crop"]) -> None:
    contract = ClassificationContract(
        classes=("a", "b"), height=32, width=32, resize=resize, mean=(0, 0, 0), std=(1, 1, 1)
    )  # fmt: skip
    smooth = np.linspace(0, 255, 120)[:, None, None] * 0.5 + np.linspace(0, 255, 160)[None, :, None] * 0.5
    image = np.repeat(smooth, 3, axis=2).astype(np.uint8)
    whole = preprocess(image[30:90, 40:120], contract)
    viewed = preprocess(image, contract, (0.25, 0.25, 0.75, 0.75))
    assert np.abs(viewed.astype(int) - whole).max() <= 2


def test_a_small_view_is_decoded_at_a_larger_scale() -> None:
    contract = ClassificationContract(classes=("a", "b"), height=100, width=50, mean=(0, 0, 0), std=(1, 1, 1))
    assert sufficient_size(contract) == (200, 100)
    assert sufficient_size(contract, (0.5, 0.0, 1.0, 0.25)) == (800, 200)
