"""Bring every class to train, val and test by moving as few whole groups as possible.

A class of three objects belongs on three sides, whatever the other classes look like. Where dealing into folds has left
a class off a side, groups change sides: the fewest, of these the smallest, so that sides keep their shares. A group may
hold several classes, and moving it for one must not take another off a side; so the choice is an integer program
(SciPy's HiGHS), over the few groups that bear on the classes in question.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from dataset.manifest import SPLITS

_NUM_SIDES = len(SPLITS)
_MAX_MOVABLE = 3000  # groups that may change sides at once; solved within seconds

TextArray = npt.NDArray[np.object_]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def count_absent(labels: TextArray, sides: TextArray) -> int:
    """Count pairs of class and side without a picture; labels and sides: `(N,)`, of every picture."""
    counts = pd.crosstab(labels, sides).reindex(columns=list(SPLITS), fill_value=0)
    return int((counts == 0).to_numpy().sum())


def bring_to_every_side(
    labels: TextArray, groups: TextArray, sides: TextArray, may_move: BoolArray | None = None
) -> TextArray:
    """Return the sides with as few whole groups moved as brings as many classes as can be to all three.

    labels, groups, sides: `(N,)` of every picture, a group on one side. Nothing is moved where nothing is missing.
    may_move: of every picture; a group moves only if all of it may, and None lets all.
    """
    if count_absent(labels, sides) == 0:
        return sides
    names, group_ids = np.unique(groups.astype(str), return_inverse=True)
    classes, class_ids = np.unique(labels.astype(str), return_inverse=True)
    holds = np.zeros((len(names), len(classes)), dtype=bool)
    holds[group_ids, class_ids] = True
    now = np.zeros(len(names), dtype=np.int64)
    now[group_ids] = [SPLITS.index(side) for side in sides]
    free = np.ones(len(names), dtype=bool)
    if may_move is not None:
        free[group_ids[~may_move]] = False
    chosen = _choose(holds, now, np.bincount(group_ids), free)
    return np.array(SPLITS, dtype=object)[chosen][group_ids]


def _choose(holds: BoolArray, now: IntArray, sizes: IntArray, free: BoolArray) -> IntArray:
    """Return the side of every group: first only groups of the absent classes may move, then those they are tied to."""
    movable = _holding(holds, _is_absent(holds, now)) & free
    if not movable.any():
        return now
    while True:
        chosen = _solve(holds, now, sizes, movable)
        tied = _holding(holds, np.asarray(holds[movable].any(axis=0), dtype=bool)) & free
        enough = holds.sum(axis=0) >= _NUM_SIDES
        is_done = not (_is_absent(holds, chosen) & enough).any() or tied.sum() == movable.sum()
        if is_done or tied.sum() > _MAX_MOVABLE:
            return chosen
        movable = tied


def _holding(holds: BoolArray, classes: BoolArray) -> BoolArray:
    """Tell of every group whether it holds one of the classes."""
    return np.asarray(holds[:, classes].any(axis=1), dtype=bool)


def _is_absent(holds: BoolArray, sides: IntArray) -> BoolArray:
    """Tell of every class whether it is missing on a side."""
    reached = [holds[sides == side].any(axis=0) for side in range(_NUM_SIDES)]
    return np.asarray(~np.all(reached, axis=0), dtype=bool)


def _solve(holds: BoolArray, now: IntArray, sizes: IntArray, movable: BoolArray) -> IntArray:
    """Move some of the `movable` groups; see the module.

    Variables: for each movable group and side whether it is there, then for each class and side whether it is missing.
    """
    rows = np.flatnonzero(movable)
    classes = np.flatnonzero(holds[rows].any(axis=0))
    num_places, num_needs = len(rows) * _NUM_SIDES, len(classes) * _NUM_SIDES
    # A move costs a little more for a larger group; all moves together cost less than one class missing on one side.
    move = 1 + sizes[rows] / (1 + sizes.sum()) + np.arange(len(rows)) / (1 + len(rows)) ** 3
    costs = np.repeat(move[:, None], _NUM_SIDES, axis=1)
    costs[np.arange(len(rows)), now[rows]] = 0
    missing_costs = np.full(num_needs, 2.0 * (len(rows) + 1))
    one_side_each = sparse.hstack(
        [sparse.kron(sparse.eye(len(rows)), np.ones((1, _NUM_SIDES))), sparse.csr_array((len(rows), num_needs))]
    )
    reached = sparse.kron(sparse.csr_array(holds[np.ix_(rows, classes)].T.astype(float)), sparse.eye(_NUM_SIDES))
    is_there = np.array([holds[~movable & (now == s)][:, classes].any(axis=0) for s in range(_NUM_SIDES)]).T
    solution = milp(
        np.concatenate([costs.ravel(), missing_costs]),
        integrality=np.ones(num_places + num_needs),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(sparse.csr_array(one_side_each), 1, 1),
            LinearConstraint(sparse.csr_array(sparse.hstack([reached, sparse.eye(num_needs)])), ~is_there.ravel()),
        ],
        options={"mip_rel_gap": 0},
    )
    chosen = now.copy()
    chosen[rows] = solution.x[:num_places].reshape(-1, _NUM_SIDES).argmax(axis=1)
    return chosen
