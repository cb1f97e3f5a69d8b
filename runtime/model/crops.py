"""What a classifier of crops gets to see: one rule for those that it is trained on and those that it is asked about."""

import math
from typing import NamedTuple

from PIL import Image

from runtime.formats.stored import Size, part
from runtime.model.contract import ModelContract
from runtime.model.image import ImageArray, open_for_resizing
from runtime.model.preprocess import Box, Placement, place_picture, sufficient_size
from runtime.model.tiles import PixelBox

MIN_CROP_PX = 8  # of either side; a smaller crop is a smudge once it has been enlarged


def crop_box(box: Box, margin: float, picture: tuple[int, int]) -> PixelBox:
    """Return what is cut out for a box: with `margin` of its width or height on each side, in whole pixels.

    box: left, top, right and bottom in pixels of the upright picture. picture: its (width, height). Pixels that the box
    touches belong to the crop; what lies beyond the picture does not.
    """
    left, top, right, bottom = box
    across, down = margin * (right - left), margin * (bottom - top)
    width, height = picture
    return (
        max(0, math.floor(left - across)),
        max(0, math.floor(top - down)),
        min(width, math.ceil(right + across)),
        min(height, math.ceil(bottom + down)),
    )


def is_too_small(crop: PixelBox) -> bool:
    """Whether a side of the crop is shorter than `MIN_CROP_PX`."""
    return min(crop[2] - crop[0], crop[3] - crop[1]) < MIN_CROP_PX


class OpenPicture(NamedTuple):
    """A decoded picture, ready for several models.

    image: upright, of mode RGB. profile: of its colours, still to be applied. size: (height, width) unreduced.
    """

    image: Image.Image
    profile: bytes
    size: Size

    @property
    def num_bytes(self) -> int:
        """What it takes in memory: Pillow keeps four bytes a pixel."""
        return 4 * self.image.width * self.image.height

    def whole(self, contract: ModelContract) -> tuple[ImageArray, Placement]:
        """Return the picture at the model's input, and where it lies in it, as `read_placed` does."""
        return place_picture(self.image, self.profile, self.size, contract)

    def crop(self, box: PixelBox, contract: ModelContract) -> ImageArray:
        """Return a part at the model's input: `(height, width, 3)` uint8, as if the part were a picture of its own.

        The picture must not be reduced.
        """
        assert self.image.size == self.size[::-1]
        cut = part(self.image, *box)
        return place_picture(cut, self.profile, cut.size[::-1], contract)[0]


def open_picture(
    data: bytes, *contracts: ModelContract, max_pixels: int | None = None, is_cut: bool = False
) -> OpenPicture:
    """Decode one encoded image once, for all of these models.

    A large JPEG is decoded at a reduced scale that suffices for each of them, unless crops will be cut out (`is_cut`):
    what is found may be as small as anything, and the classifier learnt from every pixel of it. Raises ImageError as
    `decode_image` does.
    """
    sizes = [sufficient_size(contract) for contract in contracts]
    at_least = max(height for height, _ in sizes), max(width for _, width in sizes)
    max_value = contracts[0].max_value
    return OpenPicture(*open_for_resizing(data, max_pixels, None if is_cut else at_least, max_value))
