"""Deal new items out among parts that hold items already, so that each class comes near its stated shares."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

TextArray = npt.NDArray[np.object_]


def deal_new(
    labels: TextArray, items: TextArray, parts: TextArray, shares: Mapping[str, float], seed: int
) -> TextArray:
    """Return the part of every picture; those that have one keep it, and the pictures of an item stay together.

    labels, items, parts: `(N,)` of every picture, '' for no part. shares: of each part that may get new items, in the
    order in which ties are decided. An item counts for its most frequent label. Each goes to the part that lacks most
    of its class; where no more new items are left than parts without the class, to one of these.
    """
    frame = pd.DataFrame({"item": items, "label": labels, "part": parts})
    majority = (
        frame.value_counts(["item", "label"]).reset_index(name="n")
        .sort_values(["item", "n", "label"], ascending=[True, False, True]).drop_duplicates("item")
    )  # fmt: skip
    part_of = dict(zip(frame["item"], frame["part"], strict=True))
    overall = Counter(part for part in part_of.values() if part)
    rng = np.random.default_rng(seed)
    for _, members in majority.groupby("label"):
        names = members["item"].to_numpy(dtype=object)
        have = Counter(part_of[name] for name in names if part_of[name])
        new = [name for name in names if not part_of[name]]
        for left, index in zip(range(len(new), 0, -1), rng.permutation(len(new)), strict=True):
            part = _next_part(have, overall, shares, left, sum(have[part] for part in shares) + left)
            part_of[new[index]] = part
            have[part] += 1
            overall[part] += 1
    return np.array([part_of[item] for item in items], dtype=object)


def _next_part(
    have: Mapping[str, int], overall: Mapping[str, int], shares: Mapping[str, float], left: int, number: int
) -> str:
    """Return the part for one of the `left` new items of a class, of which there will be `number` in these parts."""
    absent = [part for part in shares if not have[part]]
    wanted = absent if absent and left <= len(absent) else list(shares)
    num_overall = sum(overall[part] for part in shares)

    def lack(part: str) -> tuple[float, float]:
        # Rounded, so that what is equal but for the order of additions is a tie.
        return round(shares[part] * number - have[part], 9), round(shares[part] * num_overall - overall[part], 9)

    return max(wanted, key=lack)
