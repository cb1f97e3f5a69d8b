"""Take the sides that a folder gives: they are kept, also where an object is on two of them, which loading reports."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset.manifest import SPLITS
from dataset.params import SplitParams
from dataset.splitting.dealing import deal_new
from dataset.splitting.memory import Recalled

TextArray = npt.NDArray[np.object_]


def with_given_sides(
    pictures: pd.DataFrame, recalled: Recalled | None, params: SplitParams
) -> tuple[TextArray, TextArray]:
    """Return the side and the object of every picture.

    pictures: with given sides in `split`. An object on two sides counts as one on each, called `<group>-<side>`. Where
    no picture is given for validation, or for test, objects of training are taken for it, as many as one fold of the
    rest; those that an earlier run took stay there.
    """
    given, groups = (pictures[name].to_numpy(dtype=object) for name in ("split", "group"))
    sides_of = pd.DataFrame({"group": groups, "side": given}).groupby("group")["side"].nunique()
    torn = frozenset(sides_of[sides_of > 1].index)
    names = np.array(
        [f"{group}-{side}" if group in torn else group for group, side in zip(groups, given, strict=True)], dtype=object
    )
    missing = [side for side in SPLITS if side not in set(given)]
    if not missing:
        return given, names
    side_of = _taken_before(names, given, recalled, missing[0]) if recalled else {}
    sides = np.array(
        [side if side != "train" else side_of.get(name, "") for name, side in zip(names, given, strict=True)],
        dtype=object,
    )
    share = 1 / (params.num_folds - 1)
    shares = {"train": 1 - share, missing[0]: share}
    is_pool = given == "train"
    labels = pictures["label"].to_numpy(dtype=object)
    result = given.copy()
    result[is_pool] = deal_new(labels[is_pool], names[is_pool], sides[is_pool], shares, params.seed)
    return result, names


def _taken_before(names: TextArray, given: TextArray, recalled: Recalled, missing: str) -> dict[str, str]:
    """Return the side of objects of training that were on it, or on the missing side, before."""
    rows = zip(names, given, recalled.sides, strict=True)
    known = [(name, before) for name, side, before in rows if side == "train" and before in ("train", missing)]
    # Of an object whose pictures were on both, the missing side: what was held out is never trained on.
    return dict(sorted(known, key=lambda item: item[1] == missing))
