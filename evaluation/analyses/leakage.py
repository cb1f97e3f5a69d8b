"""Whether predictions are of the manifest's images, and how many of those tested show what training has seen."""

import pandas as pd

from dataset.checks import named
from dataset.manifest import Manifest, Protocol, SplitName
from evaluation.predictions import Predictions, PredictionsError

_NAMES: dict[SplitName, str] = {"val": "validation", "test": "test"}


def count_test_images_seen_in_training(manifest: Manifest, protocol: Protocol) -> int:
    """Count test images whose group also has images in training."""
    trained = set(manifest.select("train", protocol).table["group"])
    return int(manifest.select("test", protocol).table["group"].isin(trained).sum())


def refuse_other_images(predictions: Predictions, manifest: Manifest, protocol: Protocol) -> None:
    """Raise PredictionsError unless the predictions are of exactly the manifest's test and validation images.

    Path, label and group of each must agree; a table from an earlier split would be evaluated as if it were this one,
    and threshold and temperature would be fitted to whatever it calls validation images. A table without validation
    rows, such as one of all folds, is of test images only; one with training images is refused.
    """
    trained = predictions.splits == "train"
    if trained.any():
        raise PredictionsError(
            f"the predictions hold {int(trained.sum())} training image(s), first "
            f"{named(list(predictions.paths[trained]))}. Keep validation and test images only"
        )
    _refuse_others_of(predictions, manifest, protocol, "test")
    if (predictions.splits == "val").any():
        _refuse_others_of(predictions, manifest, protocol, "val")


def _refuse_others_of(predictions: Predictions, manifest: Manifest, protocol: Protocol, split: SplitName) -> None:
    expected = manifest.select(split, protocol).table[["path", "label", "group"]]
    part = predictions.select(split)
    labels = [predictions.classes[label] for label in part.labels]
    got = pd.DataFrame({"path": part.paths, "label": labels, "group": part.groups})
    both = expected.merge(got, how="outer", on=["path", "label", "group"], indicator=True)
    other = both[both["_merge"] != "both"]
    if len(other):
        raise PredictionsError(
            f"the predictions are not of the manifest's {_NAMES[split]} images (split by {protocol}): {len(other)} "
            f"row(s) differ in path, label or group, first {named(list(other['path']))}. "
            "Predict again from this manifest (dvc repro)"
        )
