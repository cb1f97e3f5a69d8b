"""Find pictures that show the same object: their fine structure correlates.

Thumbnails are high-pass filtered, so that exposure and shading, which change from shot to shot, do not count and
texture, scratches and edges, which stay, do. Not covered: mirrored, rotated or shifted shots of one object do not
match; whoever has such pictures states their groups in a CSV.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter

from dataset.likeness.disjoint_sets import DisjointSets
from dataset.likeness.pair_search import blocks_above
from dataset.manifest import ManifestError
from runtime.model.image import ImageArray

THUMBNAIL_PX = 64
MAX_PICTURES = 100_000
_LOCAL_MEAN_PX = 9  # side of the square whose mean is taken away; wider than grain, narrower than shading

GreyThumbnail = NDArray[np.uint8]


def grey_thumbnail(image_hwc: ImageArray) -> GreyThumbnail:
    """Reduce one picture, `(height, width, 3)` uint8, to `(64, 64)` uint8: all that likeness is judged by."""
    grey = Image.fromarray(image_hwc).convert("L")
    return np.asarray(grey.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX))


def fine_structure(thumbnail: GreyThumbnail) -> NDArray[np.float32]:
    """Return the fine structure of a `grey_thumbnail`; see `high_pass_thumbnail`."""
    small = thumbnail.astype(np.float32)
    detail = small - uniform_filter(small, size=_LOCAL_MEAN_PX, mode="reflect")
    detail -= detail.mean()
    norm = float(np.linalg.norm(detail))
    # One grey level in one pixel gives about 1; less is rounding.
    if norm < 0.1:
        return np.zeros(detail.size, dtype=np.float32)
    return np.asarray(detail.ravel() / norm, dtype=np.float32)


def high_pass_thumbnail(image_hwc: ImageArray) -> NDArray[np.float32]:
    """Reduce one picture to its fine structure.

    image_hwc: `(height, width, 3)` uint8. Returns `(4096,)` float32 with zero mean and unit norm, so that the dot
    product of two is their correlation; all zeros for a picture without structure, which correlates with nothing.
    """
    return fine_structure(grey_thumbnail(image_hwc))


@contextmanager
def fine_structures(thumbnails: Sequence[GreyThumbnail]) -> Iterator[NDArray[np.float32]]:
    """Yield `(N, 4096)` float32, the fine structure of every thumbnail, in a temporary file: 16 KB a picture."""
    with tempfile.TemporaryFile() as file:
        shape = (len(thumbnails), THUMBNAIL_PX**2)
        structures = np.memmap(file, np.float32, "w+", shape=shape) if thumbnails else np.zeros(shape, np.float32)
        for index, thumbnail in enumerate(thumbnails):
            structures[index] = fine_structure(thumbnail)
        yield structures


def check_number(num_pictures: int) -> None:
    """Refuse more pictures than can be compared in pairs. Raises ManifestError above 100,000."""
    if num_pictures > MAX_PICTURES:
        raise ManifestError(
            f"{num_pictures} pictures are too many to search for near-duplicates (at most {MAX_PICTURES}): every "
            "pair is compared, so time grows with the square of the number. State the groups in a CSV with the "
            "columns path,group instead"
        )


def pairs_above(thumbnails: NDArray[np.float32], threshold: float) -> Iterator[tuple[int, int]]:
    """Yield index pairs (left < right) of thumbnails that correlate above `threshold`; memory stays bounded.

    thumbnails: `(N, 4096)` float32 of `high_pass_thumbnail`. Raises ManifestError above 100,000 pictures.
    """
    check_number(len(thumbnails))
    for block in blocks_above(thumbnails, threshold):
        yield from zip(*(indices.tolist() for indices in block.pairs()), strict=True)


def join_alike(sets: DisjointSets, thumbnails: NDArray[np.float32], threshold: float) -> None:
    """Join pictures that correlate above `threshold`, directly or in a chain; what is joined is not compared again.

    thumbnails: `(N, 4096)` float32 of `high_pass_thumbnail`. Raises ManifestError above 100,000 pictures.
    """
    check_number(len(thumbnails))

    def apart(rows: slice, columns: slice) -> NDArray[np.bool_] | None:
        left, right = sets.set_of[rows], sets.set_of[columns]
        if (left == left[0]).all() and (right == left[0]).all():
            return None
        return np.asarray(left[:, None] != right[None, :])

    for block in blocks_above(thumbnails, threshold, apart):
        sets.join_arrays(*block.pairs())
