"""Deep samples to 8 bits: rounding, stated ranges, and what is refused."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.formats.depth import scale_range, scale_unsigned
from runtime.model.errors import ImageError, ImageErrorCode


def test_every_16_bit_value_comes_out_as_the_nearest_of_256() -> None:
    values = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(scale_unsigned(values, 65535, "16 bits"), np.rint(values / 257).astype(np.uint8))


@pytest.mark.parametrize("bits", [1, 8, 9, 10, 12, 14, 16])
def test_both_ends_of_a_stated_range_are_black_and_white(bits: int) -> None:
    largest = 2**bits - 1
    scaled = scale_unsigned(np.array([[0, largest]], np.uint16), largest, "its bits")
    assert scaled.tolist() == [[0, 255]]
    assert scaled.dtype == np.uint8


def test_range_beyond_16_bits_needs_no_more_memory() -> None:
    assert scale_unsigned(np.array([0, 65535], np.uint16), 2**32 - 1, "the contract").tolist() == [0, 0]
    assert scale_unsigned(np.array([0, 65535], np.uint16), 131070, "the contract").tolist() == [0, 128]


def test_sample_above_the_stated_largest_is_refused_and_not_clipped() -> None:
    with pytest.raises(ImageError, match=r"in 0 to 4096, outside of 0 to 4095, the range by its bits; state") as caught:
        scale_unsigned(np.array([4095, 4096], np.uint16), 4095, "its bits")
    assert caught.value.code is ImageErrorCode.UNSUPPORTED


@pytest.mark.parametrize(
    ("values", "low", "high", "expected"),
    [
        (np.array([0, 0.5, 1], np.float32), 0, 1, [0, 128, 255]),
        (np.array([-0.001, 1.001], np.float16), 0, 1, [0, 255]),
        (np.array([-100, 150, 400], np.float64), -100, 400, [0, 128, 255]),
        (np.array([0, 2**31, 2**32 - 1], np.uint32), 0, 2**32 - 1, [0, 128, 255]),
        (np.array([-128, 127], np.int8), -128, 127, [0, 255]),
    ],
)
def test_range_of_any_number_type_is_scaled(values: NDArray[Any], low: float, high: float, expected: list[int]) -> None:
    assert scale_range(values, low, high, "the file").tolist() == expected


@pytest.mark.parametrize("wrong", [-0.01, 1.01, 255.0])
def test_float_outside_its_range_is_refused_by_more_than_rounding(wrong: float) -> None:
    with pytest.raises(ImageError, match="outside of 0 to 1"):
        scale_range(np.array([0, wrong], np.float32), 0, 1, "convention for floats")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(wrong: float) -> None:
    with pytest.raises(ImageError, match="no finite numbers"):
        scale_range(np.array([0, wrong], np.float32), 0, 1, "convention for floats")


def test_no_samples_give_none() -> None:
    assert scale_unsigned(np.empty((0, 3), np.uint16), 65535, "16 bits").shape == (0, 3)
    assert scale_range(np.empty((0,), np.float32), 0, 1, "convention for floats").shape == (0,)
