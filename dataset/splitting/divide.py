"""Divide pictures so that what was divided before stays where it was: new objects alone are dealt out.

Where nothing is remembered and no side is given, this is `assign_splits`, to the bit. Otherwise an object goes where
its pictures were. Pictures that join objects of two sides to one would be a leak on either, so these are left out, and
the objects stay apart as before; where no picture can be left out for it, the split is refused.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset.checks import (
    check_enough_objects,
    check_every_class_in_every_split,
    check_no_group_on_two_sides,
    named,
)
from dataset.fair_sides import bring_to_every_side
from dataset.manifest import SPLITS, ManifestError
from dataset.params import SplitParams
from dataset.splits import FoldArray, assign_splits, deal_by_image, deal_folds, sorted_by_path
from dataset.splitting.dealing import deal_new
from dataset.splitting.given import with_given_sides
from dataset.splitting.memory import Memory, Recalled

_KEPT = (
    "What was divided before keeps its side. Add pictures of new objects of these classes, or split anew, which gives "
    "another test set: make data SPLIT=new"
)
_GIVEN = (
    "The sides are given with the pictures: add some there, or let all be divided here, by object: make data DATA=... "
    "SPLIT=ours"
)

TextArray = npt.NDArray[np.object_]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Division:
    """What became of the pictures.

    table: manifest columns, sorted by path, without those left out. left_out: rows that are on no side, `split` ''.
    folds: of the rows of both, by path. is_dealt_anew: nothing that is remembered or given had a part in it.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame
    folds: dict[str, int]
    is_dealt_anew: bool


def divide(table: pd.DataFrame, params: SplitParams, memory: Memory | None, *, has_stated_groups: bool) -> Division:
    """Fill `split` and `split_by_image`.

    table: manifest columns; `split` holds the sides that are given, or ''. memory: of earlier runs, if there is one.
    has_stated_groups: groups are facts, and not found by likeness. Raises ManifestError as `assign_splits` does, if a
    class is missing on a side, and for a stated object whose pictures were on two.
    """
    pictures = sorted_by_path(table)
    is_given = bool((pictures["split"] != "").any())
    stated = {"has_stated_groups": has_stated_groups, "is_given": is_given}
    recalled = memory.recall(pictures, **stated) if memory else None
    folds = dict(zip(pictures["path"], number_folds(pictures, params, recalled).tolist(), strict=True))
    if not is_given and (recalled is None or not (recalled.sides != "").any()):
        return Division(assign_splits(pictures, params), pictures.iloc[:0], folds, is_dealt_anew=True)
    by_image = recalled.by_image if recalled else np.full(len(pictures), "", dtype=object)
    pictures["split_by_image"] = _by_image(pictures, by_image, params)
    if is_given:
        pictures["split"], pictures["group"] = with_given_sides(pictures, recalled, params)
        left_out = np.zeros(len(pictures), dtype=bool)
    else:
        assert recalled is not None
        pictures["group"], sides, left_out = _whole_objects(pictures, recalled, has_stated_groups=has_stated_groups)
        check_enough_objects(pictures[~left_out])
        pictures["split"] = np.where(left_out, "", _deal(pictures, sides, left_out, params))
    result, rest = pictures[~left_out].reset_index(drop=True), pictures[left_out].assign(split_by_image="")
    check_no_group_on_two_sides(result)
    try:
        check_every_class_in_every_split(result, "group")
        check_every_class_in_every_split(result, "image")
    except ManifestError as exc:
        raise ManifestError(f"{exc}. {_GIVEN if is_given else _KEPT}") from exc
    return Division(result, rest, folds, is_dealt_anew=False)


def number_folds(pictures: pd.DataFrame, params: SplitParams, recalled: Recalled | None) -> FoldArray:
    """Return the fold of every picture: that of its object, which new objects get as sides are dealt.

    pictures: sorted by path. An object that was in several folds goes to the one that most of its pictures were in.
    """
    if recalled is None or not (recalled.folds >= 0).any():
        return deal_folds(pictures, params)
    frame = pd.DataFrame({"group": pictures["group"], "fold": recalled.folds})
    counts = frame[frame["fold"] >= 0].value_counts(["group", "fold"]).reset_index(name="n")
    most = counts.sort_values(["group", "n", "fold"], ascending=[True, False, True]).drop_duplicates("group")
    known = {group: str(fold) for group, fold in zip(most["group"], most["fold"], strict=True)}
    groups = pictures["group"].to_numpy(dtype=object)
    parts = np.array([known.get(group, "") for group in groups], dtype=object)
    shares = {str(fold): 1 / params.num_folds for fold in range(params.num_folds)}
    return deal_new(pictures["label"].to_numpy(dtype=object), groups, parts, shares, params.seed).astype(np.int64)


def _whole_objects(
    pictures: pd.DataFrame, recalled: Recalled, *, has_stated_groups: bool
) -> tuple[TextArray, TextArray, BoolArray]:
    """Return each picture's object, its side, '' of new objects, and whether it is left out; see the module."""
    groups, sides = pictures["group"].to_numpy(dtype=object), recalled.sides
    is_known = sides != ""
    known = pd.DataFrame({"group": groups[is_known], "side": sides[is_known]})
    side_of = known.groupby("group")["side"].first().to_dict()
    on = known.groupby("group")["side"].nunique()
    torn = frozenset(on[on > 1].index)
    is_torn = np.array([group in torn for group in groups], dtype=bool)
    left_out = is_torn & ~recalled.is_same_file
    without = torn if has_stated_groups else torn - set(groups[left_out])
    if without:
        raise ManifestError(_two_sides(pictures, recalled, sorted(without), has_stated_groups=has_stated_groups))
    kept = is_torn & ~left_out
    names = np.array(
        [f"{group}-{side}" if apart else group for group, side, apart in zip(groups, sides, kept, strict=True)],
        dtype=object,
    )
    whole = np.array([side_of.get(group, "") for group in groups], dtype=object)
    return names, np.where(is_torn, sides, whole), left_out


def _two_sides(pictures: pd.DataFrame, recalled: Recalled, groups: list[str], *, has_stated_groups: bool) -> str:
    sided = pictures.assign(side=recalled.sides)
    first = sided[(sided["group"] == groups[0]) & (sided["side"] != "")].drop_duplicates("side")
    where = ", ".join(f"{row.path} in {row.side}" for row in first.itertuples())
    who = "the groups file says" if has_stated_groups else "likeness, by data.near_duplicate_correlation, says"
    return (
        f"{who} that pictures show one object which lie on two sides of the split so far: {named(groups)} ({where}). "
        "Nothing was moved, since what was trained on would be tested. If it is so, split anew, which gives another "
        "test set: make data SPLIT=new"
    )


def _deal(pictures: pd.DataFrame, sides: TextArray, left_out: BoolArray, params: SplitParams) -> TextArray:
    """Return the side of every picture; new objects are dealt and, where a class is missing on a side, moved."""
    rows = np.flatnonzero(~left_out)
    labels, groups = (pictures[name].to_numpy(dtype=object)[rows] for name in ("label", "group"))
    dealt = deal_new(labels, groups, sides[rows], _shares(params), params.seed)
    result = sides.copy()
    result[rows] = bring_to_every_side(labels, groups, dealt, sides[rows] == "")
    return result


def _by_image(pictures: pd.DataFrame, known: TextArray, params: SplitParams) -> TextArray:
    if not (known != "").any():
        return deal_by_image(pictures, params)
    labels, paths = (pictures[name].to_numpy(dtype=object) for name in ("label", "path"))
    dealt = deal_new(labels, paths, known, _shares(params), params.seed)
    return bring_to_every_side(labels, paths, dealt, known == "")


def _shares(params: SplitParams) -> dict[str, float]:
    one = 1 / params.num_folds
    return dict(zip(SPLITS, (1 - 2 * one, one, one), strict=True))
