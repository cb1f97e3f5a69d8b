"""A segmentation's regions as one PNG of the picture's own size."""

import io

import numpy as np
from PIL import Image

from runtime.answers.connected_parts import IntArray, UintMap
from runtime.answers.segmentation import RunLengths, Segmentation

Colour = tuple[int, int, int]
# Okabe and Ito's, which people with any colour vision tell apart; black, the eighth, is background.
COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)


def colour_of(class_id: int) -> Colour:
    """Return the colour that regions of a kind have in every picture drawn of them; the eighth has the first's."""
    return COLOURS[class_id % len(COLOURS)]


def index_mask(answer: Segmentation) -> bytes:
    """Write the answer's regions as a palette PNG of the upright picture's size, one byte a pixel.

    0 is background and `i + 1` the region whose `class_id` is `i`; the palette colours them for viewers, and a reader
    of indices gets what the answer's run lengths say, bit for bit. Where a region that was given its only pixel shares
    it with another, the smaller one is seen.
    """
    image = Image.fromarray(paint_regions(answer))
    image.putpalette([0, 0, 0, *(channel for value in range(255) for channel in colour_of(value))])
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)  # flat areas: a higher one takes several times as long for little
    return file.getvalue()


def paint_regions(answer: Segmentation) -> UintMap:
    """Return `(height, width)` uint8 of the upright picture: 0 for background, `class_id + 1` for a region."""
    down_columns = np.zeros(answer.width * answer.height, np.uint8)
    for region in answer.regions:  # the largest first, so that none hides a smaller one
        starts, ends = decode_runs(region.mask)
        edges = np.stack([starts, ends], axis=1).ravel()
        is_inside = np.repeat(np.arange(len(edges) - 1) % 2 == 0, np.diff(edges))
        down_columns[starts[0] : ends[-1]][is_inside] = region.class_id + 1
    return np.ascontiguousarray(down_columns.reshape(answer.width, answer.height).T)


def decode_runs(mask: RunLengths) -> tuple[IntArray, IntArray]:
    """Return where runs inside a mask start and end, as places down the picture's columns; ends are outside."""
    edges = counts_of(mask).cumsum()
    return edges[0::2][: len(edges) // 2], edges[1::2]


def counts_of(mask: RunLengths) -> IntArray:
    """Return a mask's run lengths down the picture's columns: pixels outside and inside by turns, outside first.

    Reads COCO's compressed counts, which pycocotools only makes whole masks of: groups of 5 bits, the lowest first,
    bit 5 set where more follow and bit 4 of the last the sign; from the fourth on, counts are stated as the difference
    from the one before the last.
    """
    codes = np.frombuffer(mask.counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    is_last = codes & 32 == 0
    first_of = np.concatenate([[0], np.flatnonzero(is_last)[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(first_of, np.diff(np.append(first_of, len(codes))))
    counts = np.add.reduceat((codes & 31) << 5 * place, first_of)
    counts -= np.where(codes[is_last] & 16, 1 << 5 * (place[is_last] + 1), 0)
    for first in (1, 2):
        counts[first::2] = counts[first::2].cumsum()
    return counts
