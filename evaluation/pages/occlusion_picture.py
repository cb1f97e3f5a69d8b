"""An occlusion map as a picture: the model's input, and beside it the same with what the answer hangs on."""

import io

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image
from scipy.ndimage import binary_erosion

from runtime.model.image import ImageArray

_OUTLINE = (0, 200, 255)
_OPACITY = 0.6  # of the strongest attribution; none where there is no attribution
_GAP_PX = 4


def draw_occlusion(
    image_hwc: ImageArray, attribution: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_] | None
) -> bytes:
    """Return a PNG of both, side by side; the mask is outlined on the right.

    image_hwc: `(height, width, 3)` uint8. attribution: `(height, width)`, 0 or more. mask: `(height, width)` or None.
    """
    strength = attribution / max(float(attribution.max()), np.finfo(np.float64).tiny)
    heat = colormaps["inferno"](strength)[..., :3] * 255
    opacity = (_OPACITY * np.sqrt(strength))[..., None]
    overlay = np.rint((1 - opacity) * image_hwc + opacity * heat).astype(np.uint8)
    if mask is not None:
        overlay[mask & ~binary_erosion(mask)] = _OUTLINE
    gap = np.full((image_hwc.shape[0], _GAP_PX, 3), 255, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.hstack([image_hwc, gap, overlay])).save(buffer, "PNG")
    return buffer.getvalue()
