"""Find the objects of pictures whose groups nobody stated, and say where likeness is no proof of one object.

Under a fixed camera, and in pictures of little detail, different things look alike: then most pictures of a class come
out as one object, which cannot be on three sides of a split. That is said with what to do, and with the threshold that
these pictures ask for; it is never changed in silence.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from dataset.checks import STATE_GROUPS, named
from dataset.likeness.disjoint_sets import DisjointSets
from dataset.likeness.near_duplicates import GreyThumbnail, fine_structures, join_alike
from dataset.manifest import SPLITS

# An object of more than a third of a class leaves too little for three sides; of fewer pictures it may be a burst.
_LARGE_SHARE = 1 / len(SPLITS)
_LEAST_LARGE = 4
_MAX_MEASURED = 3000  # pictures whose correlations a threshold is measured on

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Likeness:
    """What likeness joined.

    groups: N names, 'g00001' and on in order of first appearance. summary: how many pictures were joined. warnings:
    classes of which one object holds a large share, each with what to do.
    """

    groups: list[str]
    summary: str
    warnings: list[str]


def find_objects(
    stated: Sequence[str],
    sha256s: Sequence[str],
    labels: Sequence[str],
    thumbnails: Sequence[GreyThumbnail],
    threshold: float,
) -> Likeness:
    """Join pictures of one stated group, of the same bytes, or whose fine structure correlates above `threshold`.

    stated, sha256s, labels: N of the pictures; '' is no group. thumbnails: N of `grey_thumbnail`.
    Raises ManifestError above 100,000 pictures.
    """
    sets = DisjointSets(len(thumbnails))
    sets.join_equal(stated)
    sets.join_equal(sha256s)  # pictures without structure correlate with nothing
    before = sets.set_of
    with fine_structures(thumbnails) as structures:
        join_alike(sets, structures, threshold)
        warnings = _warnings(before, sets.set_of, np.asarray(labels, dtype=object), structures, threshold)
    num_joined, num_objects = _count_joined(before, sets.set_of)
    summary = (
        f"Likeness (fine structure that correlates above {threshold:g}) joined {num_joined} of {len(thumbnails)} "
        f"pictures into {num_objects} object(s)."
    )
    return Likeness(sets.names(), summary, warnings)


def _count_joined(before: npt.NDArray[np.int64], after: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Return how many pictures are of an object that likeness put together, and how many such objects there are."""
    parts = np.unique(np.stack([after, before]), axis=1)[0]
    joined = [number for number, count in Counter(parts.tolist()).items() if count > 1]
    return int(np.isin(after, joined).sum()), len(joined)


def _warnings(
    before: npt.NDArray[np.int64],
    after: npt.NDArray[np.int64],
    labels: npt.NDArray[np.object_],
    structures: FloatArray,
    threshold: float,
) -> list[str]:
    """Name every class of which likeness made one object of a large share, or too few objects for three sides."""
    found = []
    for label in sorted(set(labels)):
        rows = labels == label
        (largest, size), *_ = Counter(after[rows].tolist()).most_common(1)
        is_large = size >= _LEAST_LARGE and size > _LARGE_SHARE * rows.sum()
        is_too_few = len(set(after[rows])) < len(SPLITS) <= len(set(before[rows]))
        if (is_large or is_too_few) and len(set(before[rows & (after == largest)])) > 1:
            found.append((label, largest, size, int(rows.sum())))
    if not found:
        return []
    lines = []
    for label, largest, size, number in found:
        others = sorted(set(labels[after == largest]) - {label})
        beside = f", together with pictures of {named(others)}" if others else ""
        lines.append(f"likeness joins {size} of {number} pictures of class {label} into one object{beside}")
    fits = fitting_threshold(structures, labels, [label for label, *_ in found])
    return [*lines[:10], *([f"and so for {len(lines) - 10} more class(es)"] if len(lines) > 10 else []),
            _advice(fits, threshold)]  # fmt: skip


def _advice(fits: float | None, threshold: float) -> str:
    cause = "If they show different objects (a fixed camera, little detail)"
    if fits is None:
        return (
            f"{cause}, {STATE_GROUPS}: no data.near_duplicate_correlation below 1 tells these pictures apart "
            f"(it is {threshold:g})"
        )
    return (
        f"{cause}, {STATE_GROUPS}, or set data.near_duplicate_correlation in params.yaml (it is {threshold:g}): "
        f"measured on these pictures, from {fits:g} on no object holds more than a third of a class"
    )


def fitting_threshold(structures: FloatArray, labels: npt.NDArray[np.object_], classes: Sequence[str]) -> float | None:
    """Return the least correlation, in thousandths, above which no object holds more than a third of one of `classes`.

    structures: `(N, 4096)` of `high_pass_thumbnail`. labels: `(N,)`. Measured on at most 3,000 pictures of these
    classes, evenly taken. None if there is none below 1.
    """
    rows = np.flatnonzero(np.isin(labels.astype(str), list(classes)))
    rows = rows[:: -(-len(rows) // _MAX_MEASURED)]
    some = np.asarray(structures[rows])
    distances = np.clip(1 - (some @ some.T).astype(np.float64), 0, 2)
    np.fill_diagonal(distances, 0)
    most = {label: max(1, int(number * _LARGE_SHARE)) for label, number in Counter(labels[rows].tolist()).items()}
    clusters = [Counter([label]) for label in labels[rows]]
    # Chains of likeness are what single linkage finds; the nearest are joined first.
    for left, right, distance, _ in linkage(squareform(distances, checks=False), "single"):
        merged = clusters[int(left)] + clusters[int(right)]
        clusters.append(merged)
        if any(number > most[label] for label, number in merged.items()):
            fits = float(np.ceil(1000 * (1 - distance)) / 1000)
            return fits if fits < 1 else None
    return 0.0
