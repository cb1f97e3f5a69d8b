"""Connected parts are those that SciPy finds, in whatever a map holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage

from runtime.answers.connected_parts import find_parts, mean_by_part


def assert_parts_of_scipy(values: NDArray[np.uint8]) -> None:
    parts = find_parts(values)
    assert parts.labels.shape == values.shape
    num_parts = 0
    for value in np.unique(values[values > 0]):
        expected, count = ndimage.label(values == value, np.ones((3, 3)))
        num_parts += count
        pairs = np.unique(np.stack([expected.ravel(), np.where(values == value, parts.labels, 0).ravel()]), axis=1)
        assert pairs.shape[1] == count + (values != value).any()  # one to one
    assert len(parts.sizes) == len(parts.values) == len(parts.boxes) == parts.labels.max(initial=0) == num_parts
    firsts = [np.flatnonzero(parts.labels == part + 1)[0] for part in range(num_parts)]
    assert firsts == sorted(firsts)
    boxes = ndimage.find_objects(parts.labels)
    for part, (rows, columns) in enumerate(boxes):
        assert parts.boxes[part].tolist() == [columns.start, rows.start, columns.stop, rows.stop]
        assert parts.values[part] == values[parts.labels == part + 1][0]
    np.testing.assert_array_equal(parts.sizes, np.bincount(parts.labels.ravel(), minlength=num_parts + 1)[1:])


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 1, 1, 2, 254])))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_parts_are_those_of_scipy(values: NDArray[np.uint8]) -> None:
    assert_parts_of_scipy(values)


def spiral(side: int) -> NDArray[np.uint8]:
    values = np.zeros((side, side), np.uint8)
    row, column, (down, right) = 0, -1, (0, 1)
    for leg in range(side, 0, -2):
        for steps in (leg, leg - 1) if leg == side else (leg + 1, leg - 1):
            for _ in range(max(0, steps)):
                row, column = row + down, column + right
                values[row % side, column % side] = 1
            down, right = right, -down
    return values


def nested_combs(side: int) -> NDArray[np.uint8]:
    """Teeth of every length that only meet at the bottom, pair by pair and pair of pairs: unions come late."""
    values = np.zeros((side, side), np.uint8)
    values[:, ::2] = 1
    for level in range(1, side.bit_length()):
        values[-level, :: 2**level] = 1
        values[-level] |= np.arange(side) % 2 ** (level + 1) < 2**level
    return values


@pytest.mark.parametrize(
    "values",
    [
        np.ones((7, 9), np.uint8),
        np.zeros((7, 9), np.uint8),
        np.indices((16, 16)).sum(axis=0).astype(np.uint8) % 2,  # one part by corners
        np.eye(20, dtype=np.uint8)[::-1],
        np.random.default_rng(0).integers(0, 3, (90, 70)).astype(np.uint8),
        (np.random.default_rng(1).random((90, 70)) < 0.4).astype(np.uint8),
        spiral(33),
        nested_combs(64),
    ],
    ids=["full", "empty", "chequers", "diagonal", "three values", "noise", "spiral", "combs"],
)
def test_shapes_that_labelling_finds_hard(values: NDArray[np.uint8]) -> None:
    assert_parts_of_scipy(values)
    assert_parts_of_scipy(np.ascontiguousarray(values.T[:, ::-1]))


def test_mean_by_part_is_over_its_own_cells() -> None:
    values = np.array([[1, 0, 2], [1, 0, 2]], np.uint8)
    means = mean_by_part(find_parts(values), np.array([[0.5, 9, 1], [1.0, 9, 0.5]]))
    np.testing.assert_array_equal(means, [0.75, 0.75])
