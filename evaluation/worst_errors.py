"""Which of the wrong predictions to show: those that the model was surest of, of as many groups as there are."""

from collections import Counter

import numpy as np

from evaluation.document import WrongPrediction
from evaluation.predictions import Predictions


def most_confident_errors(predictions: Predictions, limit: int) -> tuple[WrongPrediction, ...]:
    """Return at most `limit` wrong predictions: first the surest of every group, then the next of every group.

    Pictures of one object are wrong together, and would fill the list. Within a turn the surest come first, ties in the
    order of paths.
    """
    predicted = predictions.predicted
    wrong = np.flatnonzero(predicted != predictions.labels)
    confidence = np.clip(predictions.probs[wrong, predicted[wrong]], 0, 1)
    surest = sorted(range(len(wrong)), key=lambda i: (-confidence[i], predictions.paths[wrong[i]]))
    num_before: Counter[str] = Counter()
    turns = []
    for index in surest:
        turns.append(num_before[predictions.groups[wrong[index]]])
        num_before[predictions.groups[wrong[index]]] += 1
    order = [surest[place] for place in np.argsort(turns, kind="stable")[:limit]]
    return tuple(
        WrongPrediction(
            path=predictions.paths[row],
            label=predictions.classes[predictions.labels[row]],
            group=predictions.groups[row],
            predicted=predictions.classes[predicted[row]],
            probability=float(confidence[index]),
            label_probability=float(np.clip(predictions.probs[row, predictions.labels[row]], 0, 1)),
        )
        for index, row in ((i, wrong[i]) for i in order)
    )
