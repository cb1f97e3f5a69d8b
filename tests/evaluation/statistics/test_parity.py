"""Parity sees every difference that an answer would show, and holds a graph to its limits."""

import numpy as np
import pytest

from evaluation.statistics.parity import Parity, ParityError, measure_parity


@pytest.mark.parametrize(
    ("exported_probs", "message"),
    [
        ([[0.6, 0.4], [0.4, 0.6]], "same class in 50"),
        ([[0.6, 0.4], [0.6002, 0.3998]], r"by up to 2\.00e-04"),
        ([[0.6, 0.4], [float("nan"), 0.4]], "by up to inf"),
    ],
)
def test_parity_sees_another_class_a_difference_and_nan(exported_probs: list[list[float]], message: str) -> None:
    images = [np.full((2, 2, 3), value, np.uint8) for value in (0, 1)]
    expected = np.array([[0.6, 0.4], [0.6, 0.4]])
    got = np.array(exported_probs)
    parity = measure_parity(
        images,
        expected=lambda batch: {"probabilities": expected[batch[:, 0, 0, 0]]},
        exported=lambda batch: {"probabilities": got[batch[:, 0, 0, 0]]},
        batch_sizes=(1,),
        limit=1e-4,
        split="val",
    )
    with pytest.raises(ParityError, match=message):
        parity.check()


def test_parity_over_no_picture_proves_nothing() -> None:
    with pytest.raises(ParityError, match="no val picture"):
        measure_parity([], lambda batch: {}, lambda batch: {}, (1,), 1e-4, "val")


def test_one_pixel_in_ten_thousand_may_differ_and_no_more() -> None:
    """100 x 100 pixels; the probability of each is as it was."""
    probs, foreground = np.array([[0.9, 0.1]]), np.full((1, 100, 100), 0.8)

    def measured(num_others: int) -> Parity:
        maps = np.ones((2, 1, 100, 100), np.uint8)
        maps[1].flat[:num_others] = 2
        expected, got = (
            {"probabilities": probs, "region_map": one, "foreground": foreground.astype(np.float32)} for one in maps
        )
        image = np.zeros((100, 100, 3), np.uint8)
        return measure_parity([image], lambda _: expected, lambda _: got, (1,), 1e-4, "val", threshold=0.5)

    measured(1).check()
    with pytest.raises(ParityError, match=r"same map in 99\.9800% of the pixels \(must be 99\.99%\)"):
        measured(2).check()


def test_what_is_called_background_is_so_whatever_region_it_would_be() -> None:
    images = [np.zeros((2, 2, 3), np.uint8)]
    below = {"probabilities": np.array([[0.9, 0.1]]), "foreground": np.full((1, 2, 2), 0.4, np.float32)}
    maps = [{**below, "region_map": np.full((1, 2, 2), value, np.uint8)} for value in (1, 2)]
    parity = measure_parity(images, lambda _: maps[0], lambda _: maps[1], (1,), 1e-4, "val", threshold=0.5)
    assert parity.map_agreement == 1
