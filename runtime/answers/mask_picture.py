"""A segmentation as a picture that says of every pixel which region it is of."""

import io
from itertools import chain, cycle, islice

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from runtime.answers.segmentation import Segmentation

# Colours that colour-blind people tell apart, by Okabe and Ito; for viewers, as the values alone have a meaning.
_COLOURS = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)),
    *((0, 114, 178), (213, 94, 0), (204, 121, 167)),
)
_PALETTE = list(chain((0, 0, 0), *islice(cycle(_COLOURS), 255)))


def index_mask(answer: Segmentation) -> bytes:
    """Return a PNG of the image's own size with a palette: 0 is background, i + 1 a region whose `class_id` is i.

    It holds the answer's regions pixel by pixel, as their run lengths do; where two share a pixel the later has it.
    """
    mask = np.zeros((answer.height, answer.width), np.uint8)
    for region in answer.regions:
        box = region.box
        window = np.s_[box.top : box.bottom, box.left : box.right]
        mask[window][coco.decode(region.mask.model_dump())[window] != 0] = region.class_id + 1
    picture = Image.fromarray(mask)
    picture.putpalette(_PALETTE)
    written = io.BytesIO()
    picture.save(written, "PNG", compress_level=1)  # twice as fast as by default, and masks become small anyway
    return written.getvalue()
