"""Changes of light as one table of 256 values: exposure, gamma, brightness and contrast cost one look-up together."""

import math

import numpy as np

from runtime.model.image import ImageArray
from training.batch_params import AugmentParams

LEVELS = np.arange(256) / 255


def draw_tone_curve(rng: np.random.Generator, params: AugmentParams) -> ImageArray | None:
    """Draw a `(256,)` uint8 table of new values, or None if nothing of the kind is asked for.

    In this order: exposure by up to `exposure_stops` either way, in linear light as a camera would have it; an exponent
    between 1 / gamma and gamma; contrast around mid-grey; a shift of brightness. The table never falls, so what was
    brighter stays so; values beyond white or black are clipped, as a sensor does.
    """
    if params.exposure_stops == params.brightness == params.contrast == 0 and params.gamma == 1:
        return None
    stops = rng.uniform(-params.exposure_stops, params.exposure_stops)
    log_gamma = math.log(params.gamma)
    exponent = math.exp(rng.uniform(-log_gamma, log_gamma))
    slope = 1 + rng.uniform(-params.contrast, params.contrast)
    shift = rng.uniform(-params.brightness, params.brightness)
    values = expose(LEVELS, stops) ** exponent
    values = (values - 0.5) * slope + 0.5 + shift
    table: ImageArray = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return table


def expose(
    srgb: np.ndarray[tuple[int, ...], np.dtype[np.float64]], stops: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return sRGB values in [0, 1] as if `2 ** stops` times the light had fallen. Source: IEC 61966-2-1."""
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    exposed = (linear * 2**stops).clip(0, 1)
    return np.where(exposed <= 0.0031308, exposed * 12.92, 1.055 * exposed ** (1 / 2.4) - 0.055)
