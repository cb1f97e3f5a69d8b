"""The readout: one linear layer that is scikit-learn's standardised logistic regression."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from training.tasks.readout import fit_readout


@pytest.mark.parametrize("num_classes", [2, 4])
def test_layer_gives_the_probabilities_of_the_regression(num_classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(num_classes, size=200)
    numbers = rng.normal(size=(200, 5)) * [1, 10, 0.1, 3, 1] + 7 + labels[:, None]
    layer = nn.Linear(5, num_classes)
    fit_readout(layer, numbers, labels, 0.5)
    scaled = StandardScaler().fit_transform(numbers)
    expected = LogisticRegression(C=0.5, max_iter=2000).fit(scaled, labels).predict_proba(scaled)
    found = layer(torch.from_numpy(numbers).float()).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_number_that_never_varies_is_no_division_by_zero() -> None:
    layer = nn.Linear(2, 2)
    fit_readout(layer, [[0.0, 3.0], [0.1, 3.0], [1.0, 3.0], [1.1, 3.0]], [0, 0, 1, 1], 1.0)
    assert torch.isfinite(layer.weight).all()
    assert layer(torch.tensor([[1.2, 3.0]])).argmax() == 1


def test_a_class_without_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match=r"every one of 3 classes.*\[0, 2\]"):
        fit_readout(nn.Linear(1, 3), [[0.0], [1.0]], [0, 2], 1.0)
