"""Divide pictures into train, val and test: by group, which is honest, and by image, which leaks and is compared."""

import warnings
from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from dataset.checks import (
    check_enough_objects,
    check_every_class_in_every_split,
    check_every_class_trains,
    check_no_group_on_two_sides,
)
from dataset.fair_sides import bring_to_every_side, count_absent
from dataset.manifest import ManifestError
from dataset.params import SplitParams

TextArray = np.ndarray[tuple[int], np.dtype[np.object_]]
FoldArray = np.ndarray[tuple[int], np.dtype[np.int64]]

_FILLER = "\N{NULL}"  # no folder has this name, so no class has


def assign_splits(table: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    """Fill `split` (by group) and `split_by_image` with train, val or test.

    table: manifest columns; every row needs a group. Returns a copy sorted by path, so that the order of rows does
    not matter. Fold `test_fold` is the test set, the next one validation, the others are for training; where that
    leaves a class off a side, as few whole groups as possible change sides (`fair_sides`), so that a class of three
    objects has one on each and a class of four two for training.
    Raises ManifestError if a class has fewer than three objects or is missing in a split all the same, or if a picture
    has no group.
    """
    result = sorted_by_path(table)
    check_enough_objects(result)
    labels, groups = result["label"].to_numpy(dtype=object), result["group"].to_numpy(dtype=object)
    by_group = _sides(_group_folds(labels, groups, params, [params.test_fold]), params)
    result["split"] = bring_to_every_side(labels, groups, by_group)
    result["split_by_image"] = deal_by_image(result, params)
    check_no_group_on_two_sides(result)
    check_every_class_in_every_split(result, "group")
    check_every_class_in_every_split(result, "image")
    return result


def deal_by_image(table: pd.DataFrame, params: SplitParams) -> TextArray:
    """Return train, val or test of every picture, whatever object it shows. table: sorted, `path` and `label`."""
    labels = table["label"].to_numpy(dtype=object)
    sides = _sides(_stratified_folds(labels, params), params)
    return bring_to_every_side(labels, table["path"].to_numpy(dtype=object), sides)


def deal_folds(table: pd.DataFrame, params: SplitParams) -> FoldArray:
    """Return the number of every picture's fold, of which each is the test set of one round of a cross-validation.

    table: sorted by path, with the columns `label` and `group`. `test_fold` of `params` does not matter.
    """
    labels, groups = table["label"].to_numpy(dtype=object), table["group"].to_numpy(dtype=object)
    return _group_folds(labels, groups, params, range(params.num_folds))


def assign_fold(table: pd.DataFrame, params: SplitParams, folds: FoldArray | None = None) -> pd.DataFrame:
    """Fill `split` for one round of a cross-validation, in which every fold is the test set once.

    folds: of every picture in the order of paths, whole groups together; None for those of `deal_folds`.
    As `assign_splits`, but no group changes sides, so that over all values of `test_fold` every picture is tested
    exactly once. A class of fewer objects than folds is therefore tested in some rounds only and may be missing in
    validation; it is in training in every round. `split_by_image` stays as it is.
    Raises ManifestError if a class has fewer than three objects or no training picture, or if a picture has no group.
    """
    result = sorted_by_path(table)
    check_enough_objects(result)
    num_groups = result["group"].nunique()
    if num_groups < params.num_folds:
        raise ManifestError(
            f"split.num_folds ({params.num_folds}) is more than the {num_groups} objects there are, so that some round "
            "would have nothing to test; lower it in params.yaml (3 is the least)"
        )
    result["split"] = _sides(deal_folds(result, params) if folds is None else folds, params)
    check_no_group_on_two_sides(result)
    check_every_class_trains(result)
    return result


def sorted_by_path(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table sorted by path. Raises ManifestError if a picture has no group."""
    without_group = table.loc[table["group"] == "", "path"]
    if len(without_group):
        raise ManifestError(f"{len(without_group)} picture(s) have no group, such as {without_group.iloc[0]}")
    return table.sort_values("path", ignore_index=True)


def _sides(folds: FoldArray, params: SplitParams) -> TextArray:
    side = {params.test_fold: "test", (params.test_fold + 1) % params.num_folds: "val"}
    return np.array([side.get(int(fold), "train") for fold in folds], dtype=object)


def _group_folds(labels: TextArray, groups: TextArray, params: SplitParams, test_folds: Iterable[int]) -> FoldArray:
    """Fold of every picture, whole groups together.

    Each class's groups are dealt out evenly over the folds; a group counts for its most frequent label. So a class is
    in every fold once it has `num_folds` groups, and val and test hold as many distinct objects as can be, which is
    what their confidence intervals rest on. scikit-learn's StratifiedGroupKFold balances numbers of pictures instead,
    so one large group can be all that a class has on a side. It is taken only where it puts more classes on every
    side, counted over all `test_folds`, as it can for a class that is nowhere the most frequent of its group.
    """
    counts = pd.crosstab(groups, labels)
    majority = counts.columns.to_numpy(dtype=object)[counts.to_numpy().argmax(axis=1)]
    fold_of = dict(zip(counts.index, _stratified_folds(majority, params), strict=True))
    dealt = np.array([fold_of[group] for group in groups], dtype=np.int64)
    rounds = [params.model_copy(update={"test_fold": index}) for index in test_folds]

    def num_absent(folds: FoldArray) -> int:
        return sum(count_absent(labels, _sides(folds, one)) for one in rounds)

    is_too_small = len(fold_of) < params.num_folds or pd.Series(labels).value_counts().max() < params.num_folds
    if is_too_small or num_absent(dealt) == 0:
        return dealt
    splitter = StratifiedGroupKFold(params.num_folds, shuffle=True, random_state=params.seed)
    return min((dealt, _folds(splitter, labels, groups)), key=num_absent)


def _stratified_folds(labels: TextArray, params: SplitParams) -> FoldArray:
    """Fold of every item, each class dealt out evenly; a class may have fewer items than there are folds.

    scikit-learn wants one class of `num_folds` items. Where there is none, items of a class that is then forgotten
    follow the others, which changes nothing for these.
    """
    splitter = StratifiedKFold(params.num_folds, shuffle=True, random_state=params.seed)
    if pd.Series(labels).value_counts().max() >= params.num_folds:
        return _folds(splitter, labels, None)
    filled = np.append(labels, [_FILLER] * params.num_folds)
    return _folds(splitter, filled, None)[: len(labels)]


def _folds(splitter: StratifiedKFold | StratifiedGroupKFold, labels: TextArray, groups: TextArray | None) -> FoldArray:
    folds = np.full(len(labels), -1, dtype=np.int64)
    with warnings.catch_warnings():
        # A class smaller than the number of folds; where that leaves a side without it, its groups change sides.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
            folds[rows] = fold
    return folds
