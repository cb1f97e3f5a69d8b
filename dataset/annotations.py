"""Read what a manifest says of a picture beside its class: the mask that marks the defect's pixels.

One rule holds everywhere, from training to the report: a pixel is marked where more than half of it is. Half keeps the
marked area when a mask is made smaller; a lower share would make every defect larger by its own edge, and training,
attention and the share of defect would speak of three different areas. A defect that covers no pixel by half
disappears: training then takes the picture for one whose defect nobody has marked.
"""

from pathlib import Path

import numpy as np

from dataset.manifest import ManifestError
from runtime.model.contract import ModelContract
from runtime.model.errors import ImageError
from runtime.model.image import decode_image
from runtime.model.preprocess import WHOLE, View, preprocess

_HALF = 127  # of 255; what JPEG and soft brushes leave at edges is on one side or the other
_BAR = 128  # letterbox bars, which preprocess adds, are not marked

MaskArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def read_mask(path: Path) -> MaskArray:
    """Return `(height, width)` bool of a mask's file: true where any of its channels is above the middle, 127.

    Raises ManifestError naming the file if it is gone or no image.
    """
    try:
        return np.asarray(decode_image(path.read_bytes()).max(axis=2) > _HALF)
    except OSError as exc:
        raise ManifestError(f"the mask {path} can no longer be read ({exc}); run `make data` again") from exc
    except ImageError as exc:
        raise ManifestError(f"the mask {path} cannot be read: {exc}") from exc


def read_mask_for_model(path: Path, contract: ModelContract, view: View = WHOLE) -> MaskArray:
    """Return `(contract.height, contract.width)` bool: the mask where the model's input has the picture.

    view: the part of the picture that is looked at. The mask is resized as pictures are, so that both stay on each
    other whatever the rule; letterbox bars are not marked.
    Raises ManifestError as `read_mask` does.
    """
    white = np.where(read_mask(path)[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    return preprocess(white, contract, view)[:, :, 0] > _BAR
