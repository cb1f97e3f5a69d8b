"""One drawn tile, and its photographs under six exposures; NumPy and Pillow suffice, since benchmarks draw, too."""

import numpy as np
from numpy.typing import NDArray

from dataset.sources.synthetic.synthetic_defects import Mask, draw_defect
from dataset.sources.synthetic.synthetic_shapes import smooth_noise
from dataset.sources.synthetic.synthetic_surface import MARGIN_PX, TileSurface, draw_surface

_EXPOSURE_GAINS = (0.62, 0.76, 0.92, 1.1, 1.36, 1.7)
_MAX_SHIFT_PX = 2

GreyImage = NDArray[np.uint8]


def draw_tile(tile: int, label: str, seed: int) -> tuple[TileSurface, Mask]:
    """Draw one tile as an object, with the defect of its class and the defect's mask.

    The surface under the defect is the same for every class: only the defect tells `label`.
    """
    surface = draw_surface(np.random.default_rng([seed, tile, 0]))
    mask = draw_defect(surface, label, np.random.default_rng([seed, tile, 1]))
    return surface, mask


def expose(surface: TileSurface, mask: Mask, rng: np.random.Generator, exposure: int) -> tuple[GreyImage, Mask]:
    """Photograph a tile: one of six exposures, from dark to washed out, a little shifted, with the sensor's noise.

    Returns the picture, `(height, width)` uint8, and its mask of the same size.
    """
    height, width = (size - 2 * MARGIN_PX for size in surface.shape)
    top, left = (int(v) for v in MARGIN_PX + rng.integers(-_MAX_SHIFT_PX, _MAX_SHIFT_PX + 1, size=2))
    height, width = height + int(rng.integers(-2, 3)), width + int(rng.integers(-2, 3))
    window = (slice(top, top + height), slice(left, left + width))
    drift = 1 + 0.05 * smooth_noise(rng, (height, width), (150, 150))
    gain = _EXPOSURE_GAINS[exposure - 1] * rng.uniform(0.93, 1.07)
    signal = np.float32(0.36 * gain) * surface.reflectance[window] * surface.light[window] * drift
    signal = signal + 0.02
    # Shot noise grows with the root of the light, read noise does not.
    noise = rng.standard_normal(signal.shape).astype(np.float32)
    signal = signal + noise * np.sqrt(0.00008 + 0.00025 * np.maximum(signal, 0))
    image = np.rint(255 * np.clip(signal, 0, 1)).astype(np.uint8)
    return image, mask[window]
