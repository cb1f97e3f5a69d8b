"""Divide pictures into train, val and test: by group, which is honest, and by image, which leaks and is compared."""

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from dataset.checks import check_every_class_in_every_split, check_no_group_on_two_sides
from dataset.manifest import SPLITS, ManifestError
from dataset.params import SplitParams

TextArray = np.ndarray[tuple[int], np.dtype[np.object_]]
FoldArray = np.ndarray[tuple[int], np.dtype[np.int64]]


def assign_splits(table: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    """Fill `split` (by group) and `split_by_image` with train, val or test.

    table: manifest columns; every row needs a group. Returns a copy sorted by path, so that the order of rows does
    not matter. Fold `test_fold` is the test set, the next one validation, the others are for training.
    Raises ManifestError if a class is missing in a split or a picture has no group.
    """
    without_group = table.loc[table["group"] == "", "path"]
    if len(without_group):
        raise ManifestError(f"{len(without_group)} picture(s) have no group, such as {without_group.iloc[0]}")
    result = table.sort_values("path", ignore_index=True)
    labels, groups = result["label"].to_numpy(dtype=object), result["group"].to_numpy(dtype=object)
    result["split"] = _sides(_group_folds(labels, groups, params), params)
    result["split_by_image"] = _sides(_stratified_folds(labels, params), params)
    check_no_group_on_two_sides(result)
    check_every_class_in_every_split(result, "group")
    check_every_class_in_every_split(result, "image")
    return result


def _sides(folds: FoldArray, params: SplitParams) -> list[str]:
    side = {params.test_fold: "test", (params.test_fold + 1) % params.num_folds: "val"}
    return [side.get(int(fold), "train") for fold in folds]


def _group_folds(labels: TextArray, groups: TextArray, params: SplitParams) -> FoldArray:
    """Fold of every picture, whole groups together.

    Each class's groups are dealt out evenly over the folds; a group counts for its most frequent label. So a class is
    in every fold once it has `num_folds` groups, and val and test hold as many distinct objects as can be, which is
    what their confidence intervals rest on. scikit-learn's StratifiedGroupKFold balances numbers of pictures instead,
    so one large group can be all that a class has on a side. It is taken only where it puts more classes on every
    side, as it can for a class that is nowhere the most frequent of its group.
    """
    counts = pd.crosstab(groups, labels)
    majority = counts.columns.to_numpy(dtype=object)[counts.to_numpy().argmax(axis=1)]
    fold_of = dict(zip(counts.index, _stratified_folds(majority, params), strict=True))
    dealt = np.array([fold_of[group] for group in groups], dtype=np.int64)
    if _num_absent(labels, dealt, params) == 0:
        return dealt
    splitter = StratifiedGroupKFold(params.num_folds, shuffle=True, random_state=params.seed)
    balanced = _folds(splitter, labels, groups)
    return min((dealt, balanced), key=lambda folds: _num_absent(labels, folds, params))


def _num_absent(labels: TextArray, folds: FoldArray, params: SplitParams) -> int:
    """Count pairs of class and side without a picture."""
    counts = pd.crosstab(labels, np.array(_sides(folds, params))).reindex(columns=list(SPLITS), fill_value=0)
    return int((counts == 0).to_numpy().sum())


def _stratified_folds(labels: TextArray, params: SplitParams) -> FoldArray:
    if pd.Series(labels).value_counts().max() < params.num_folds:
        raise ManifestError(
            f"no class has as many objects as split.num_folds ({params.num_folds}); "
            "add pictures of more objects or lower it in params.yaml (3 is the least)"
        )
    return _folds(StratifiedKFold(params.num_folds, shuffle=True, random_state=params.seed), labels, None)


def _folds(splitter: StratifiedKFold | StratifiedGroupKFold, labels: TextArray, groups: TextArray | None) -> FoldArray:
    folds = np.full(len(labels), -1, dtype=np.int64)
    with warnings.catch_warnings():
        # A class smaller than the number of folds; whether that leaves a side without it is checked afterwards.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
            folds[rows] = fold
    return folds
