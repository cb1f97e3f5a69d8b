"""Find pictures that show the same object: their fine structure correlates.

Thumbnails are high-pass filtered, so that exposure and shading, which change from shot to shot, do not count and
texture, scratches and edges, which stay, do. Not covered: mirrored, rotated or shifted shots of one object do not
match; whoever has such pictures states their groups in a CSV.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter

from dataset.manifest import ManifestError
from dataset.progress import progress
from runtime.image import ImageArray

THUMBNAIL_PX = 64
MAX_PICTURES = 100_000
_LOCAL_MEAN_PX = 9  # side of the square whose mean is taken away; wider than grain, narrower than shading
_BLOCK_ROWS = 1024  # two blocks of thumbnails and their product are under 40 MB


class DisjointSets:
    """Which of `size` items belong together; joining is transitive."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def join(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Put both items of every pair into one set."""
        for left, right in pairs:
            low, high = sorted((self._root(left), self._root(right)))
            self._parent[high] = low

    def join_equal(self, names: Iterable[str]) -> None:
        """Put items of the same name into one set; '' is no name."""
        first_of: dict[str, int] = {}
        self.join((first_of.setdefault(name, index), index) for index, name in enumerate(names) if name)

    def names(self) -> list[str]:
        """Name the set of every item: 'g00001', 'g00002', ... in order of first appearance."""
        number: dict[int, int] = {}
        return [f"g{number.setdefault(self._root(i), len(number) + 1):05d}" for i in range(len(self._parent))]

    def _root(self, item: int) -> int:
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item


def high_pass_thumbnail(image_hwc: ImageArray) -> NDArray[np.float32]:
    """Reduce one picture to its fine structure.

    image_hwc: `(height, width, 3)` uint8. Returns `(4096,)` float32 with zero mean and unit norm, so that the dot
    product of two is their correlation; all zeros for a picture without structure, which correlates with nothing.
    """
    grey = Image.fromarray(image_hwc).convert("L")
    small = np.asarray(grey.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX), dtype=np.float32)
    detail = small - uniform_filter(small, size=_LOCAL_MEAN_PX, mode="reflect")
    detail -= detail.mean()
    norm = float(np.linalg.norm(detail))
    # One grey level in one pixel gives about 1; less is rounding.
    if norm < 0.1:
        return np.zeros(detail.size, dtype=np.float32)
    return np.asarray(detail.ravel() / norm, dtype=np.float32)


def pairs_above(thumbnails: NDArray[np.float32], threshold: float) -> Iterator[tuple[int, int]]:
    """Yield index pairs (left < right) of thumbnails that correlate above `threshold`; memory stays bounded.

    thumbnails: `(N, 4096)` float32 of `high_pass_thumbnail`. Raises ManifestError above 100,000 pictures.
    """
    if len(thumbnails) > MAX_PICTURES:
        raise ManifestError(
            f"{len(thumbnails)} pictures are too many to search for near-duplicates (at most {MAX_PICTURES}): every "
            "pair is compared, so time grows with the square of the number. State the groups in a CSV with the "
            "columns path,group instead"
        )
    starts = range(0, len(thumbnails), _BLOCK_ROWS)
    blocks = [(row, column) for row in starts for column in starts if row <= column]
    for row, column in progress(blocks, "comparing pictures", unit="block"):
        products = thumbnails[row : row + _BLOCK_ROWS] @ thumbnails[column : column + _BLOCK_ROWS].T
        for left, right in np.argwhere(products > threshold):
            if row + left < column + right:
                yield int(row + left), int(column + right)


def group_by_correlation(
    thumbnails: NDArray[np.float32], threshold: float, initial_groups: Sequence[str] | None = None
) -> list[str]:
    """Name a group for every picture: those whose thumbnails correlate above `threshold`, directly or in a chain.

    thumbnails: `(N, 4096)` float32 of `high_pass_thumbnail`. initial_groups: N names; equal names other than '' are
    joined beforehand. Returns N names 'g00001', 'g00002', ... in order of first appearance.
    Raises ManifestError above 100,000 pictures.
    """
    groups = DisjointSets(len(thumbnails))
    groups.join_equal(initial_groups or [])
    groups.join(pairs_above(thumbnails, threshold))
    return groups.names()
