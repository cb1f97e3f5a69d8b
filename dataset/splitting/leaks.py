"""Say which pictures of a given split show objects that are in training too, and refuse more than a stated share."""

from collections.abc import Mapping

import pandas as pd

from dataset.checks import named
from dataset.manifest import ManifestError

_EARLIER = {"val": ("train",), "test": ("train", "val")}  # what was trained or chosen on


def check_given_leaks(table: pd.DataFrame, shown: Mapping[str, str], max_share: float) -> str:
    """Return what the given sides are and how far they leak, '' where none are given.

    table: manifest columns `path`, `group` and, as given, `split`. shown: what messages call each path. Raises
    ManifestError if the share of a side's pictures whose object is in training, or for test also in validation, is
    above `max_share`.
    """
    given = table[table["split"] != ""]
    if given.empty:
        return ""
    counts = ", ".join(f"{(given['split'] == side).sum()} for {side}" for side in ("train", "val", "test"))
    told, refused = [f"The sides are given: {counts}."], []
    for side, earlier in _EARLIER.items():
        pictures = given[given["split"] == side]
        first = given[given["split"].isin(earlier)].drop_duplicates("group").set_index("group")["path"]
        leaking = pictures[pictures["group"].isin(first.index)]
        if leaking.empty:
            continue
        pairs = [
            f"{shown.get(path, path)} (as {shown.get(first[group], first[group])})"
            for path, group in zip(leaking["path"], leaking["group"], strict=True)
        ]
        share = len(leaking) / len(pictures)
        told.append(
            f"{len(leaking)} of {len(pictures)} pictures for {side} ({share:.1%}) show objects that are for "
            f"{' or '.join(earlier)}, too, so figures on them are too good: {named(pairs)}."
        )
        if share > max_share:
            refused.append(told[-1])
    if refused:
        raise ManifestError(
            f"{' '.join(refused)} At most {max_share:.1%} may (data.max_leak_share in params.yaml). Let the pictures "
            "be divided here, by object: make data DATA=... SPLIT=ours"
        )
    if missing := [side for side in ("val", "test") if not (given["split"] == side).any()]:
        told.append(f"None are given for {missing[0]}: objects for training are taken for it.")
    return " ".join(told)
