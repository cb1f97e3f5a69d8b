"""Which of the wrong predictions to show: those that the model was surest of, of as many groups as there are."""

from collections import Counter

import numpy as np
import numpy.typing as npt

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


def worst_errors_by_class(test: Predictions, per_class: int, at_most: int | None = None) -> npt.NDArray[np.intp]:
    """Return rows of the most confident errors of every class, each of another group, class after class.

    at_most: rows in all; where there are more, each class's first error comes before any second, and of these the
    errors of the classes with the fewest test images, then the most confident.
    """
    predicted = test.predicted
    confidence = test.probs[np.arange(len(predicted)), predicted]
    support = np.bincount(test.labels, minlength=len(test.classes))
    wrong_of: dict[int, list[int]] = {}
    for row in np.flatnonzero(test.labels != predicted):
        wrong_of.setdefault(int(test.labels[row]), []).append(int(row))
    chosen: list[tuple[int, int]] = []  # turn, row
    for label in sorted(wrong_of):
        ranked = sorted(wrong_of[label], key=lambda row: (-confidence[row], test.paths[row]))
        first_of_group = {test.groups[row]: row for row in reversed(ranked)}
        chosen += enumerate([row for row in ranked if first_of_group[test.groups[row]] == row][:per_class])

    def rank(place: int) -> tuple[int, int, float]:
        turn, row = chosen[place]
        return turn, int(support[test.labels[row]]), -float(confidence[row])

    kept = sorted(sorted(range(len(chosen)), key=rank)[:at_most])
    return np.asarray([chosen[place][1] for place in kept], dtype=np.intp)
