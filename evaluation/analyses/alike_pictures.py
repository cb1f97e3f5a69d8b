"""Pairs of pictures that look alike though they are said to show different things, few for each picture.

Within a group likeness says nothing: its pictures show one object. Under a fixed camera every picture is like every
other, and the number of pairs grows with the square of the pictures; so a picture lists its three nearest alone, those
on another side of the split and those with another label first, and the pairs are counted.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset.likeness.near_duplicates import MAX_PICTURES, GreyThumbnail, fine_structures
from dataset.likeness.nearest import Nearest
from dataset.likeness.pair_search import Block, blocks_above
from dataset.likeness.same_pictures import same_pictures_of_two_labels
from evaluation.analyses.alike_counts import AlikeCounts

MAX_PARTNERS = 3
PAIR_COLUMNS = ["path", "other_path", "correlation", "same_picture"]
# Correlations are at most 1, so that a pair on two sides comes before any other.
_TWO_SIDES, _TWO_LABELS = np.float32(4), np.float32(2)


def find_alike(
    thumbnails: Sequence[GreyThumbnail], table: pd.DataFrame, threshold: float
) -> tuple[pd.DataFrame, AlikeCounts]:
    """Return the table of pairs, `PAIR_COLUMNS`, the most alike first, and how many there are in all.

    thumbnails: N of `grey_thumbnail`. table: the manifest's N rows. `same_picture` says that the two files show the
    same picture under two labels (`dataset.likeness.same_pictures`).
    """
    counts = AlikeCounts(threshold=threshold, num_pairs=0, num_across_splits=0, num_listed=0, max_partners=MAX_PARTNERS)
    if len(table) > MAX_PICTURES:
        return pd.DataFrame(columns=PAIR_COLUMNS), counts.model_copy(update={"is_searched": False})
    found: dict[tuple[int, int], tuple[float, bool]] = {}
    with fine_structures(thumbnails) as structures:
        left, right, num_pairs, num_across = _nearest(structures, table, threshold)
        for pair in zip(left.tolist(), right.tolist(), strict=True):
            found[pair] = (float(structures[pair[0]] @ structures[pair[1]]), False)
    for one, other, correlation in same_pictures_of_two_labels(thumbnails, table["label"].tolist()):
        found[one, other] = (correlation, True)
    paths = table["path"].tolist()
    rows = [(paths[i], paths[j], round(correlation, 4), same) for (i, j), (correlation, same) in found.items()]
    pairs = pd.DataFrame(rows, columns=PAIR_COLUMNS)
    pairs = pairs.sort_values(["correlation", "path", "other_path"], ascending=[False, True, True], ignore_index=True)
    figures = {"num_pairs": num_pairs, "num_across_splits": num_across, "num_listed": len(pairs)}
    return pairs, counts.model_copy(update=figures)


def _nearest(
    structures: npt.NDArray[np.float32], table: pd.DataFrame, threshold: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int, int]:
    """Return the pairs that are listed, left and right, and how many there are in all and on two sides."""
    groups, sides, labels = (
        np.unique(table[name].to_numpy(dtype=str), return_inverse=True)[1] for name in ("group", "split", "label")
    )
    nearest = Nearest(len(table), MAX_PARTNERS)

    def of_two_groups(rows: slice, columns: slice) -> npt.NDArray[np.bool_] | None:
        mask = groups[rows, None] != groups[None, columns]
        return mask if mask.any() else None

    num_pairs = num_across = 0
    for block in blocks_above(structures, threshold, of_two_groups):
        two_sides = _differ(sides, block)
        scores = block.products + _TWO_SIDES * two_sides + _TWO_LABELS * _differ(labels, block)
        nearest.offer(block.rows, block.columns, scores.astype(np.float32), block.is_above)
        num_pairs += int(block.is_above.sum())
        num_across += int((block.is_above & two_sides).sum())
    left, right = nearest.pairs()
    return left, right, num_pairs, num_across


def _differ(ids: npt.NDArray[np.intp], block: Block) -> npt.NDArray[np.bool_]:
    return np.asarray(ids[block.rows, None] != ids[None, block.columns])
