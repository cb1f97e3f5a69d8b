"""Fitting a temperature."""

import numpy as np
import pytest
from scipy.special import log_softmax

from evaluation.statistics.temperature import fit_temperature


def test_the_fitted_temperature_has_the_least_loss_of_all_on_a_grid() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(200, 4)) * 3
    labels = np.where(rng.random(200) < 0.6, logits.argmax(axis=1), rng.integers(0, 4, 200))

    def loss(temperature: float) -> float:
        return float(-log_softmax(logits / temperature, axis=1)[np.arange(200), labels].mean())

    fitted = fit_temperature(logits, labels)
    assert loss(fitted) <= min(loss(t) for t in np.linspace(0.25, 10, 400)) + 1e-9


def test_a_model_that_is_always_right_is_not_made_certain() -> None:
    logits = np.eye(3) * 5
    assert fit_temperature(logits, np.arange(3)) == pytest.approx(0.25, rel=0.01)


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="N >= 1"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, int))
