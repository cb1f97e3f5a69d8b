"""Find files that show the same picture under two labels: stored again, resized, or shot twice in a row.

Files of the same bytes are told by their hash. These here are not of the same bytes, but their brightness agrees all
over (which that of another exposure does not) and so does their fine structure. Measured on the drawn tiles and on
1,344 photographs of tiles: copies stored as JPEG of quality 20, at half or a quarter of the size differ by 0.1 to 3.7
grey levels and correlate above 0.6; pictures under two labels that correlate above 0.5 differ by more than 5, but for
one pair of photographs, which is the same tile in the same light under two labels. Copies that are cut by more than
about 1% of a side are not found.
"""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dataset.checks import named
from dataset.likeness.near_duplicates import MAX_PICTURES, THUMBNAIL_PX, GreyThumbnail, fine_structure
from dataset.likeness.nearest import Nearest
from dataset.sources.source_picture import SourcePicture

MAX_DIFFERENCE = 3.0  # grey levels of 255, root mean square over 16 x 16 cells
_MAX_SHARE_OF_CONTRAST = 0.25  # of the picture's standard deviation: low contrast must agree better
_LEAST_CORRELATION = 0.5  # of fine structure
_CELL_PX = 4  # of the thumbnail's 64 x 64
_KEPT = 3  # partners looked at for each picture
_BLOCK_ROWS = 1024
_MANY_ALIKE = 0.5  # share of pictures above which the same picture is no finding

FloatArray = npt.NDArray[np.float32]

logger = logging.getLogger(__name__)


def same_pictures_of_two_labels(
    thumbnails: Sequence[GreyThumbnail], labels: Sequence[str]
) -> list[tuple[int, int, float]]:
    """Return (left, right, correlation) of pictures that are the same but for coding, under two labels.

    thumbnails: N of `grey_thumbnail`. labels: N. At most three partners of a picture are looked at, those of nearest
    brightness; the surest pairs come first. Nothing is looked for above 100,000 pictures.
    """
    if len(thumbnails) > MAX_PICTURES or len(set(labels)) < 2:
        return []
    cells = np.array([_cells(thumbnail) for thumbnail in thumbnails], dtype=np.float32)
    found = []
    for left, right in _candidates(cells, np.unique(np.asarray(labels, dtype=str), return_inverse=True)[1]):
        difference = float(np.sqrt(((cells[left] - cells[right]) ** 2).mean()))
        contrast = min(float(cells[left].std()), float(cells[right].std()))
        if difference > _MAX_SHARE_OF_CONTRAST * contrast:
            continue
        correlation = float(fine_structure(thumbnails[left]) @ fine_structure(thumbnails[right]))
        if correlation > _LEAST_CORRELATION:
            found.append((left, right, correlation))
    return sorted(found, key=lambda pair: (-pair[2], pair[0], pair[1]))


def _cells(thumbnail: GreyThumbnail) -> FloatArray:
    """Return the mean grey of 16 x 16 cells, `(256,)`, about 0 for mid-grey."""
    side = THUMBNAIL_PX // _CELL_PX
    means = thumbnail.reshape(side, _CELL_PX, side, _CELL_PX).mean(axis=(1, 3), dtype=np.float32)
    return np.asarray(means.ravel() - np.float32(128), dtype=np.float32)


def _candidates(cells: FloatArray, label_ids: npt.NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of two labels whose cells are near, at most three times as many as there are pictures."""
    nearest = Nearest(len(cells), _KEPT)
    squares = (cells**2).sum(axis=1)
    limit = np.float32(MAX_DIFFERENCE**2 * cells.shape[1])
    starts = range(0, len(cells), _BLOCK_ROWS)
    for row, column in ((row, column) for row in starts for column in starts if row <= column):
        rows, columns = slice(row, row + _BLOCK_ROWS), slice(column, column + _BLOCK_ROWS)
        distances = squares[rows, None] + squares[None, columns] - 2 * (cells[rows] @ cells[columns].T)
        is_near = (distances < limit) & (label_ids[rows, None] != label_ids[None, columns])
        if row == column:
            is_near = np.triu(is_near, 1)
        if is_near.any():
            ids = np.arange(len(cells))
            nearest.offer(ids[rows], ids[columns], -distances, is_near)
    yield from zip(*(side.tolist() for side in nearest.pairs()), strict=True)


def warn_of_contradictions(pictures: Sequence[SourcePicture], thumbnails: Sequence[GreyThumbnail]) -> None:
    """Log which files show the same picture under two labels, both named; thumbnails: of the pictures, in order."""
    pairs = same_pictures_of_two_labels(thumbnails, [picture.label for picture in pictures])
    if not pairs:
        return
    texts = [" and ".join(f"{pictures[i].path} (label {pictures[i].label})" for i in pair[:2]) for pair in pairs]
    num_involved = len({index for pair in pairs for index in pair[:2]})
    if num_involved > _MANY_ALIKE * len(pictures):
        logger.warning(
            "%d of %d pictures look the same as one under another label, such as %s. With a fixed camera or little "
            "detail different objects do, and then it says little; otherwise decide which labels are right",
            num_involved, len(pictures), texts[0],
        )  # fmt: skip
        return
    logger.warning(
        "%d pair(s) of files show the same picture under two labels: %s. Decide which label is right and remove the "
        "other file", len(pairs), named(texts),
    )  # fmt: skip
