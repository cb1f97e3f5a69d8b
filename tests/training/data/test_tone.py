"""Exposure is in stops of light, and no change of tone turns dark into bright."""

import numpy as np
import pytest

from training.batch_params import AugmentParams
from training.data.tone import draw_tone_curve, expose

NOTHING = AugmentParams(flip=False, brightness=0, contrast=0, crop_min_area=1)


def _curve(seed: int, **keys: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    curve = draw_tone_curve(np.random.default_rng(seed), NOTHING.model_copy(update=keys))
    assert curve is not None
    return curve


def test_one_stop_doubles_the_light() -> None:
    # sRGB 0.5 is 0.21404 of the light of white; 0.68583 is 0.42808 of it.
    assert expose(np.array([0.5]), 1.0)[0] == pytest.approx(0.68583, abs=1e-4)
    assert expose(expose(np.array([0.4]), 0.7), -0.7)[0] == pytest.approx(0.4)
    assert expose(np.array([0.0, 1.0]), 2.0).tolist() == pytest.approx([0.0, 1.0])


def test_without_anything_asked_for_there_is_no_curve() -> None:
    assert draw_tone_curve(np.random.default_rng(0), NOTHING) is None


@pytest.mark.parametrize(
    "keys", [{"exposure_stops": 2.0}, {"gamma": 2.0}, {"brightness": 0.5}, {"contrast": 0.9}, {"contrast": 1.0}]
)
def test_curves_never_fall_and_differ_from_draw_to_draw(keys: dict[str, float]) -> None:
    curves = [_curve(seed, **keys) for seed in range(20)]
    assert all((np.diff(curve.astype(int)) >= 0).all() for curve in curves)
    assert len({curve.tobytes() for curve in curves}) == 20
    assert any(curve[128] < 128 for curve in curves) or "contrast" in keys
    assert any(curve[128] > 128 for curve in curves) or "contrast" in keys


def test_contrast_turns_about_mid_grey() -> None:
    for seed in range(10):
        curve = _curve(seed, contrast=0.5)
        assert abs(int(curve[127]) - 127) <= 1
        assert abs(int(curve[128]) - 128) <= 1


def test_limits_are_kept() -> None:
    assert max(int(_curve(seed, brightness=0.1)[100]) for seed in range(200)) <= 100 + 26
    brightest, darkest = (np.rint(expose(np.array([100 / 255]), stops) * 255) for stops in (1, -1))
    seen = [int(_curve(seed, exposure_stops=1.0)[100]) for seed in range(200)]
    assert darkest <= min(seen) < 80
    assert 125 < max(seen) <= brightest
