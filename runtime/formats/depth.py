"""Samples of any depth to 8 bits: the one scaling, for every format, in training and in the service alike.

Which range a picture is scaled by never hangs on its brightest pixel: the file states it, or the model's contract does
(`max_value`), or it is the container's. What lies outside is refused, never clipped.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.model.errors import ImageError, ImageErrorCode

CONTRACT = "the contract's max_value"  # as a source of a range, in messages
LARGEST_16_BIT = 65535


def scale_unsigned(values: NDArray[Any], largest: int, source: str) -> NDArray[np.uint8]:
    """Bring unsigned samples, 0 to `largest`, to 0 to 255, rounding to the nearest.

    values: uint8 or uint16 of any shape, which stays. source: who states `largest`, for the message.
    Raises ImageError if a sample is above `largest`.
    """
    if (
        largest == LARGEST_16_BIT and values.dtype == np.uint16
    ):  # the same as below to the last bit, and 4 times as fast
        shifted = np.minimum(values, LARGEST_16_BIT - 128) + np.uint16(128)
        shifted -= shifted >> 8
        eight: NDArray[np.uint8] = (shifted >> 8).astype(np.uint8)
        return eight
    if values.size and (brightest := int(values.max())) > largest:
        raise _outside(0, brightest, 0, largest, source)
    scaled: NDArray[np.uint8] = _table(largest)[values]
    return scaled


def scale_range(values: NDArray[Any], low: float, high: float, source: str) -> NDArray[np.uint8]:
    """Bring samples of any number type, `low` to `high`, to 0 to 255, rounding to the nearest.

    What lies outside by less than half a grey level is rounding, such as a float16's. Raises ImageError if a sample is
    outside, or no number at all.
    """
    if not values.size:
        return values.astype(np.uint8)
    least, most = values.min(), values.max()  # NaN if there is one
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ImageError(
            ImageErrorCode.UNSUPPORTED,
            "the picture holds samples that are no finite numbers (NaN or infinity); replace them and save it again",
        )
    slack = (high - low) / 510
    if float(least) < low - slack or float(most) > high + slack:
        raise _outside(float(least), float(most), low, high, source)
    scaled: NDArray[np.float64] = values.astype(np.float64)
    scaled -= low
    scaled *= 255.0  # a ready quotient would round halves of a level the wrong way
    scaled /= high - low
    np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled)
    return scaled.astype(np.uint8)


@lru_cache(maxsize=32)
def _table(largest: int) -> NDArray[np.uint8]:
    values = np.arange(min(largest, LARGEST_16_BIT) + 1)  # a contract may state more, for samples of 32 bits
    table: NDArray[np.uint8] = np.rint(values * 255.0 / largest).astype(np.uint8)
    table.flags.writeable = False
    return table


def _outside(least: float, most: float, low: float, high: float, source: str) -> ImageError:
    return ImageError(
        ImageErrorCode.UNSUPPORTED,
        f"the picture's samples lie in {least:g} to {most:g}, outside of {low:g} to {high:g}, the range by {source}; "
        "state the true range (contract.max_value in params.yaml, before training) or save the picture with 8 or 16 "
        "bits that fill their range",
    )
