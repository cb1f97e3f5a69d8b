"""Which items belong together; joining is transitive."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

IntArray = npt.NDArray[np.int64]


class DisjointSets:
    """Which of `size` items belong together; joining is transitive.

    set_of: `(size,)` the first item of each item's set.
    """

    def __init__(self, size: int) -> None:
        self.set_of: IntArray = np.arange(size)

    def join(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Put both items of every pair into one set."""
        array = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
        self.join_arrays(array[:, 0], array[:, 1])

    def join_arrays(self, lefts: npt.NDArray[np.integer], rights: npt.NDArray[np.integer]) -> None:
        """Put `lefts[i]` and `rights[i]` into one set; `(P,)` each."""
        ends = np.stack([self.set_of[lefts], self.set_of[rights]])
        ends = ends[:, ends[0] != ends[1]]
        if not ends.size:
            return
        sets, edges = np.unique(ends, return_inverse=True)
        left, right = edges.reshape(ends.shape)
        graph = sparse.coo_array((np.ones(len(left)), (left, right)), shape=(len(sets), len(sets)))
        number, part = connected_components(graph, directed=False)
        first = np.full(number, len(self.set_of), dtype=np.int64)
        np.minimum.at(first, part, sets)
        becomes = np.arange(len(self.set_of))
        becomes[sets] = first[part]
        self.set_of = becomes[self.set_of]

    def join_equal(self, names: Iterable[str]) -> None:
        """Put items of the same name into one set; '' is no name."""
        first_of: dict[str, int] = {}
        self.join((first_of.setdefault(name, index), index) for index, name in enumerate(names) if name)

    def names(self) -> list[str]:
        """Name the set of every item: 'g00001', 'g00002', ... in order of first appearance."""
        number: dict[int, int] = {}
        return [f"g{number.setdefault(int(first), len(number) + 1):05d}" for first in self.set_of]
