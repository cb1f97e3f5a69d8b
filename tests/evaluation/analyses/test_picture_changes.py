"""Every change does what its unit says, keeps the size and can be repeated."""

import numpy as np
import pytest

from evaluation.analyses.picture_changes import (
    CHANGES,
    GradedChange,
    add_noise,
    blur,
    brighten,
    compress,
    expose,
    rescale,
    rotate,
)


def picture(height: int = 60, width: int = 90) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    grey = 120 + 40 * np.sin(x / 3) + 30 * np.cos(y / 4)
    return np.stack([grey, grey * 0.9, grey * 0.8], axis=2).astype(np.uint8)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_levels_change_pixels_and_never_the_size_and_the_unchanged_level_changes_nothing(change: GradedChange) -> None:
    original = picture(150, 200)
    for level in change.levels:
        changed = change.apply(original, level, 1)
        assert changed.shape == original.shape
        assert changed.dtype == np.uint8
        assert (changed != original).any()
        np.testing.assert_array_equal(changed, change.apply(original, level, 1))
    if change.apply is not compress:  # quality 100 is still JPEG: the unchanged point is measured without it
        np.testing.assert_array_equal(change.apply(original, change.unchanged_level, 1), original)
    assert change.unchanged_level not in change.levels


def test_noise_has_the_stated_deviation_and_another_seed_gives_another() -> None:
    flat = np.full((200, 200, 3), 128, np.uint8)
    noise = add_noise(flat, 10, 3).astype(float) - 128
    assert noise.std() == pytest.approx(10, rel=0.05)
    assert noise.mean() == pytest.approx(0, abs=0.3)
    np.testing.assert_array_equal(noise[..., 0], noise[..., 2])
    assert (add_noise(flat, 10, 4) != add_noise(flat, 10, 3)).any()


def test_exposure_is_in_stops_and_saturates() -> None:
    flat = np.array([[[10, 100, 200]]], np.uint8)
    assert expose(flat, 1, 0).tolist() == [[[20, 200, 255]]]
    assert expose(flat, -1, 0).tolist() == [[[5, 50, 100]]]
    assert brighten(flat, -60, 0).tolist() == [[[0, 40, 140]]]


def test_a_positive_rotation_is_anticlockwise() -> None:
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[20, 36] = 255  # right of the middle
    row, column = np.unravel_index(rotate(dot, 15, 0)[..., 0].argmax(), (41, 41))
    assert row < 20
    assert column < 37


def test_blur_and_rescaling_lose_more_detail_at_each_level() -> None:
    def detail(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image[..., 0].astype(float), axis=1)).mean())

    blurred = [detail(blur(picture(), level, 0)) for level in (0.5, 1, 2, 4)]
    assert blurred == sorted(blurred, reverse=True)
    rescaled = [detail(rescale(picture(), level, 0)) for level in (0.5, 0.25, 0.125)]
    assert rescaled == sorted(rescaled, reverse=True)


def test_a_lower_jpeg_quality_is_further_from_the_picture() -> None:
    errors = [np.abs(compress(picture(), q, 0).astype(float) - picture()).mean() for q in (90, 50, 10)]
    assert errors == sorted(errors)
