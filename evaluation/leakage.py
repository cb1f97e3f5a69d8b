"""Whether predictions are of the manifest's test images, and how many of those show what training has seen."""

import pandas as pd

from dataset.checks import named
from dataset.manifest import Manifest, Protocol
from evaluation.predictions import Predictions, PredictionsError


def count_test_images_seen_in_training(manifest: Manifest, protocol: Protocol) -> int:
    """Count test images whose group also has images in training."""
    trained = set(manifest.select("train", protocol).table["group"])
    return int(manifest.select("test", protocol).table["group"].isin(trained).sum())


def refuse_other_images(predictions: Predictions, manifest: Manifest, protocol: Protocol) -> None:
    """Raise PredictionsError unless the test predictions are of exactly the manifest's test images.

    Path, label and group of each must agree; a table from an earlier split would be evaluated as if it were this one.
    """
    expected = manifest.select("test", protocol).table[["path", "label", "group"]]
    test = predictions.select("test")
    labels = [predictions.classes[label] for label in test.labels]
    got = pd.DataFrame({"path": test.paths, "label": labels, "group": test.groups})
    both = expected.merge(got, how="outer", on=["path", "label", "group"], indicator=True)
    other = both[both["_merge"] != "both"]
    if len(other):
        raise PredictionsError(
            f"the predictions are not of the manifest's test images (split by {protocol}): {len(other)} row(s) differ "
            f"in path, label or group, first {named(list(other['path']))}. "
            "Predict again from this manifest (dvc repro)"
        )
