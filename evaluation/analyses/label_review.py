"""Which labels and pictures a person should look at again: likely label errors, near-duplicates, outliers."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from dataset.manifest import Manifest
from evaluation.analyses.image_statistics import STATISTICS
from evaluation.document import Count, Document, EvaluationError, Share
from evaluation.predictions import Predictions

NEAR_DUPLICATES_FILE = "near_duplicates.csv"
MAX_LISTED = 100
# Of a normal distribution 2 in a billion lie further out; statistics of pictures have longer tails than that.
OUTLIER_DEVIATION = 6.0
_ENDS, _FACTS = ("path", "other_path"), ("split", "label")
_MAD_TO_SIGMA = 1.4826
_MEAN_TO_SIGMA = 1.2533


class LabelIssue(Document):
    """A picture whose label is likely wrong; `quality` is the model's probability of the label it has."""

    path: str
    sha256: str
    split: str
    group: str
    label: str
    suggested_label: str
    quality: Share


class NearDuplicate(Document):
    """Two pictures in different splits whose fine structure correlates; `same_label` is false for a contradiction."""

    path: str
    other_path: str
    split: str
    other_split: str
    label: str
    other_label: str
    correlation: float
    same_label: bool


class Outlier(Document):
    """A picture unlike the others: `statistic` is `deviation` robust standard deviations from the median."""

    path: str
    sha256: str
    split: str
    label: str
    statistic: str
    value: float
    median: float
    deviation: float


class LabelReview(Document):
    """What to look at again, each list ranked with the most striking first and cut at `max_listed`.

    Label errors are looked for among the `num_checked` validation and test pictures, which training never saw;
    near-duplicates and outliers among all pictures of the manifest. `contradictions` are files that show the same
    picture under two labels, on whatever sides.
    """

    num_checked: Count
    num_label_issues: Count
    label_issues: tuple[LabelIssue, ...]
    near_duplicate_correlation: float
    num_near_duplicates: Count
    near_duplicates: tuple[NearDuplicate, ...]
    outlier_deviation: float
    num_outliers: Count
    outliers: tuple[Outlier, ...]
    max_listed: Count
    num_contradictions: Count = 0
    contradictions: tuple[NearDuplicate, ...] = ()


def read_near_duplicates(path: Path, manifest: Manifest) -> pd.DataFrame:
    """Read the pairs that `evaluation.inspect` found.

    Raises EvaluationError if the file is missing or names pictures that the manifest does not.
    """
    try:
        pairs = pd.read_csv(path, dtype={"path": str, "other_path": str}, keep_default_na=False)
        named = pd.concat([pairs["path"], pairs["other_path"]])
        pairs["correlation"] = pairs["correlation"].astype(np.float64)
        is_same = pairs["same_picture"] if "same_picture" in pairs else pd.Series(False, index=pairs.index)
        pairs["same_picture"] = is_same.astype(str).isin(["True", "true", "1"])
    except (OSError, ValueError, KeyError) as exc:
        raise EvaluationError(
            f"cannot read near-duplicates from {path}: {exc}; run python -m evaluation.inspect"
        ) from exc
    if not named.isin(manifest.table["path"]).all():
        raise EvaluationError(f"{path} is not of the manifest's pictures; run python -m evaluation.inspect")
    return pairs


def review_labels(
    predictions: Predictions,
    manifest: Manifest,
    statistics: pd.DataFrame,
    near_duplicates: pd.DataFrame,
    near_duplicate_correlation: float,
    num_across_splits: int | None = None,
) -> LabelReview:
    """Rank what a person should look at again; see `LabelReview`.

    predictions: of validation and test pictures. statistics: `read_statistics`. near_duplicates: `path`, `other_path`
    and `correlation` of pictures in different groups, found above `near_duplicate_correlation`, and pictures that are
    the same under two labels, `same_picture`. num_across_splits: how many pairs are on two sides, if the table does
    not list all.
    """
    facts = manifest.table.set_index("path")
    issues = _label_issues(predictions, facts)
    is_same = near_duplicates.get("same_picture", pd.Series(False, near_duplicates.index)).to_numpy(dtype=bool)
    pairs = _described(_across_splits(near_duplicates, facts, near_duplicate_correlation), facts)
    contradictions = _described(near_duplicates[is_same], facts)
    outliers = _outliers(statistics, facts)
    return LabelReview(
        num_checked=len(predictions.labels),
        num_label_issues=len(issues),
        label_issues=tuple(issues[:MAX_LISTED]),
        near_duplicate_correlation=near_duplicate_correlation,
        num_near_duplicates=len(pairs) if num_across_splits is None else num_across_splits,
        near_duplicates=tuple(pairs[:MAX_LISTED]),
        outlier_deviation=OUTLIER_DEVIATION,
        num_outliers=len(outliers),
        outliers=tuple(outliers[:MAX_LISTED]),
        max_listed=MAX_LISTED,
        num_contradictions=len(contradictions),
        contradictions=tuple(contradictions[:MAX_LISTED]),
    )


def _label_issues(predictions: Predictions, facts: pd.DataFrame) -> list[LabelIssue]:
    """Find likely label errors by confident learning (Northcutt et al. 2021), the least plausible label first."""
    # Classes without a picture here have no threshold of confidence; cleanlab needs each column to have labels.
    present = np.unique(predictions.labels)
    probs = predictions.probs[:, present]
    total = probs.sum(axis=1, keepdims=True)
    probs = np.divide(probs, total, out=np.full_like(probs, 1 / len(present)), where=total > 0)
    if len(present) < 2:
        return []
    from cleanlab.filter import find_label_issues  # loads scikit-learn; whoever reads a `LabelReview` needs neither

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cleanlab warns that it may find nothing; an empty list says so
        rows = find_label_issues(
            np.searchsorted(present, predictions.labels), probs, return_indices_ranked_by="self_confidence", n_jobs=1
        )
    predicted = present[probs.argmax(axis=1)]
    return [
        LabelIssue(
            path=predictions.paths[row],
            sha256=facts.at[predictions.paths[row], "sha256"],
            split=predictions.splits[row],
            group=predictions.groups[row],
            label=predictions.classes[predictions.labels[row]],
            suggested_label=predictions.classes[predicted[row]],
            quality=float(np.clip(predictions.probs[row, predictions.labels[row]], 0, 1)),
        )
        for row in rows
    ]


def _across_splits(pairs: pd.DataFrame, facts: pd.DataFrame, least: float) -> pd.DataFrame:
    """Keep the pairs of near-duplicates in different groups whose pictures are on two sides of the split by group."""
    sides, groups = ([facts[name].reindex(pairs[end]).to_numpy() for end in _ENDS] for name in ("split", "group"))
    rows = (sides[0] != sides[1]) & (groups[0] != groups[1]) & (pairs["correlation"].to_numpy() >= least)
    return pairs.iloc[np.flatnonzero(rows)]


def _described(pairs: pd.DataFrame, facts: pd.DataFrame) -> list[NearDuplicate]:
    columns = {f"{name} of {end}": facts[name].reindex(pairs[end]).to_numpy() for end in _ENDS for name in _FACTS}
    rows = pairs.assign(**columns).to_dict("records")
    return [
        NearDuplicate(
            path=row["path"],
            other_path=row["other_path"],
            split=row["split of path"],
            other_split=row["split of other_path"],
            label=row["label of path"],
            other_label=row["label of other_path"],
            correlation=float(row["correlation"]),
            same_label=bool(row["label of path"] == row["label of other_path"]),
        )
        for row in rows
    ]


def _outliers(statistics: pd.DataFrame, facts: pd.DataFrame) -> list[Outlier]:
    """Find pictures that one statistic sets apart; each is named by the statistic that does so most."""
    values = statistics[list(STATISTICS)].to_numpy(dtype=np.float64)
    median = np.median(values, axis=0)
    distances = np.abs(values - median)
    # More than half of the pictures may be equal, such as grey ones: then the mean distance stands in.
    spread = np.median(distances, axis=0) * _MAD_TO_SIGMA
    spread = np.where(spread > 0, spread, distances.mean(axis=0) * _MEAN_TO_SIGMA)
    deviations = np.divide(distances, spread, out=np.zeros_like(distances), where=spread > 0)
    worst = deviations.argmax(axis=1)
    highest = deviations[np.arange(len(values)), worst]
    rows = [row for row in np.argsort(-highest, kind="stable") if highest[row] > OUTLIER_DEVIATION]
    paths = statistics["path"].to_numpy()
    return [
        Outlier(
            path=paths[row],
            sha256=facts.at[paths[row], "sha256"],
            split=facts.at[paths[row], "split"],
            label=facts.at[paths[row], "label"],
            statistic=STATISTICS[worst[row]],
            value=float(values[row, worst[row]]),
            median=float(median[worst[row]]),
            deviation=float(highest[row]),
        )
        for row in rows
    ]
