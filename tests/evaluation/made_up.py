"""Predictions made up so that what they hide is known."""

import numpy as np
import pandas as pd

from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions

CLASSES = ("Crack", "Fray", "Free")
PARAMS = EvaluateParams(seed=0, confidence=0.95, bootstrap_samples=300)


def calibrated_predictions(
    num_groups: int = 300, per_group: int = 2, seed: int = 0, attributes: dict[str, np.ndarray] | None = None
) -> Predictions:
    """Draw probabilities, then labels from them: half the groups for val, half for test; calibrated by construction."""
    rng = np.random.default_rng(seed)
    probs = np.repeat(rng.dirichlet(np.full(3, 0.5), num_groups), per_group, axis=0)
    probs = probs * rng.uniform(0.95, 1.05, probs.shape)
    probs /= probs.sum(axis=1, keepdims=True)
    labels = (rng.random((len(probs), 1)) > probs.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    groups = np.repeat(np.arange(num_groups), per_group)
    table = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(len(probs))],
            "label": np.asarray(CLASSES)[labels],
            "group": [f"g{g}" for g in groups],
            "split": np.where(groups % 2, "test", "val"),
            **{f"attributes.{name}": values for name, values in (attributes or {}).items()},
        }
    )
    return Predictions.from_table(table, probs, CLASSES)


def sharpened(predictions: Predictions, temperature: float) -> Predictions:
    """Divide the logits by `temperature`: below 1 the model becomes surer than it may be."""
    probs = predictions.probs ** (1 / temperature)
    table = pd.DataFrame(
        {
            "path": predictions.paths,
            "label": [predictions.classes[i] for i in predictions.labels],
            "group": predictions.groups,
            "split": predictions.splits,
        }
    )
    return Predictions.from_table(table, probs / probs.sum(axis=1, keepdims=True), predictions.classes)
