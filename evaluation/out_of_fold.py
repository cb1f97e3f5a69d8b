"""Evaluation over all folds: every picture, answered by a model of the same recipe that never saw its group.

A test split of few objects shows few slices beyond chance; all objects together show more. What is measured is the
recipe, for each fold's pictures were answered by a model of their own. That these models never saw the groups they
answered for is what `training.cross_validate` guarantees and a table of predictions cannot show.
"""

import pandas as pd

from dataset.manifest import Manifest
from evaluation.assess import assess
from evaluation.evaluation import Evaluation
from evaluation.params import EvaluateParams
from evaluation.predictions import Predictions, PredictionsError

OUT_OF_FOLD_FILE = "out_of_fold.json"


def assess_out_of_fold(
    predictions: Predictions, manifest: Manifest, params: EvaluateParams, normal_class: str, statistics: pd.DataFrame
) -> Evaluation:
    """Evaluate pooled predictions of every picture of the manifest, whatever side of the split it is on.

    Raises PredictionsError if a picture is missing, unknown, of another label or group, or was not a test picture.
    """
    if (predictions.splits != "test").any():
        raise PredictionsError(
            "pooled predictions must be of test pictures only, as training.cross_validate writes them; "
            f"{int((predictions.splits != 'test').sum())} are not"
        )
    everything = Manifest(manifest.table.assign(split="test"), manifest.root)
    pooled = assess(predictions, everything, "group", params, normal_class, statistics)
    return pooled.model_copy(update={"data_sha256": manifest.sha256})
