"""A mask written as Label Studio's brush is read back pixel for pixel, and its bytes are those of its own writer."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from runtime.label_studio.brush_runs import BrushError, decode_brush, encode_brush

# Of label_studio_sdk 2.1.2: `converter.brush.mask2rle` of 255 where the mask is, and 0 elsewhere.
SDK_MASK = np.array([[0, 1, 1, 0, 0], [1, 1, 0, 0, 1], [0, 0, 0, 0, 1]], bool)
SDK_RUNS = [0, 0, 0, 60, 57, 27, 252, 96, 19, 255, 206, 1, 63, 252, 224, 17, 255, 223, 0, 143, 252]


@settings(max_examples=60, deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_a_mask_is_read_back_as_it_was_written(mask: np.ndarray) -> None:
    height, width = mask.shape
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), width, height), mask)


@pytest.mark.parametrize("run", [1, 2, 3, 4, 64, 65, 16384, 16385, 40000])
def test_runs_of_any_length_are_kept(run: int) -> None:
    mask = np.zeros((1, run + 3), bool)
    mask[0, 2 : 2 + run] = True
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), run + 3, 1), mask)


def test_the_bytes_are_those_of_label_studios_own_writer() -> None:
    assert encode_brush(SDK_MASK) == SDK_RUNS


@given(st.lists(st.integers(0, 255), min_size=1, max_size=12))
def test_values_that_follow_each_other_are_read_as_its_page_writes_soft_edges(alphas: list[int]) -> None:
    values = [value for alpha in alphas for value in (0, 0, 0, alpha)]
    head = f"{len(values):032b}{7:05b}" + "".join(f"{bits - 1:04b}" for bits in (3, 4, 8, 16))
    bits = f"{head}010{len(values) - 1:08b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    found = decode_brush(list(int(bits, 2).to_bytes(len(bits) // 8)), len(alphas), 1)
    assert found[0].tolist() == [alpha > 127 for alpha in alphas]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "no list of bytes"),
        ("AAAA", "no list of bytes"),
        ([1, 256], "no list of bytes"),
        ([1, True], "no list of bytes"),
        ([0, 0, 0], "end before they begin"),
        (encode_brush(np.ones((3, 4), bool)), "of 12 pixels, and its picture has 20"),
        (encode_brush(SDK_MASK[:, :4].repeat(5, 1))[:-3] + [0] * 30, "do not fit|of 60 pixels"),
    ],
)
def test_what_is_no_brush_of_the_picture_is_refused(data: object, reason: str) -> None:
    with pytest.raises(BrushError, match=reason):
        decode_brush(data, 5, 4)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused_or_read_and_nothing_else(data: st.DataObject) -> None:
    runs = encode_brush(SDK_MASK)
    at = data.draw(st.integers(0, len(runs) - 1))
    runs[at] = data.draw(st.integers(0, 255))
    runs = runs[: data.draw(st.integers(0, len(runs)))]
    with suppress(BrushError):
        assert decode_brush(runs, 5, 3).shape == (3, 5)
