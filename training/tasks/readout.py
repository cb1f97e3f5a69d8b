"""From what was found in a picture to its class: logistic regression, folded into one linear layer."""

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

MAX_ITERATIONS = 2000


def fit_readout(layer: nn.Linear, numbers: npt.ArrayLike, labels: npt.ArrayLike, inverse_penalty: float) -> None:
    """Set `layer` to the multinomial logistic regression of `labels` on standardised `numbers`.

    numbers: `(N, layer.in_features)`. labels: `(N,)` int in [0, layer.out_features), each class at least once.
    inverse_penalty: scikit-learn's C. The standardisation is folded into weight and bias, so the layer takes the
    numbers as they are.
    """
    x, y = np.asarray(numbers, dtype=np.float64), np.asarray(labels)
    present = np.unique(y)
    if not np.array_equal(present, np.arange(layer.out_features)):
        raise ValueError(f"every one of {layer.out_features} classes must have a picture, got only {present.tolist()}")
    regression = LogisticRegression(C=inverse_penalty, max_iter=MAX_ITERATIONS)
    make_pipeline(scaler := StandardScaler(), regression).fit(x, y)
    weight, bias = regression.coef_, regression.intercept_
    if len(weight) == 1:  # two classes: scikit-learn keeps the difference of the logits
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    folded = weight / scaler.scale_
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(folded))
        layer.bias.copy_(torch.from_numpy(bias - folded @ scaler.mean_))
