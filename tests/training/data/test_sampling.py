"""Draws depend on seed and epoch alone; balanced sampling is exact, and the rule of thumb is applied or reported."""

import numpy as np
import pytest

from training.data.sampling import describe, epoch_order, expected_counts, imbalance, resolve

# 50, 7 and 3 pictures: the rarest has 6% of the largest.
LABELS = [0] * 50 + [1] * 7 + [2] * 3


def test_shuffle_draws_every_picture_once() -> None:
    order = epoch_order(LABELS, "shuffle", seed=1, epoch=1)
    assert sorted(order[:, 0].tolist()) == list(range(60))
    assert not order[:, 1].any()


@pytest.mark.parametrize("rule", ["shuffle", "balanced"])
def test_the_order_is_a_function_of_seed_and_epoch(rule: str) -> None:
    def draw(seed: int, epoch: int) -> bytes:
        return epoch_order(LABELS, rule, seed, epoch).tobytes()  # type: ignore[arg-type]

    assert draw(1, 1) == draw(1, 1)
    assert len({draw(1, 1), draw(1, 2), draw(2, 1)}) == 3


def test_balanced_gives_every_class_the_same_number_and_favours_no_picture() -> None:
    order = epoch_order(LABELS, "balanced", seed=1, epoch=1)
    assert np.bincount(np.array(LABELS)[order[:, 0]]).tolist() == [20, 20, 20]
    drawn = np.bincount(order[:, 0], minlength=60)
    assert drawn[:50].max() == 1
    assert set(drawn[50:57].tolist()) == {2, 3}
    assert set(drawn[57:].tolist()) == {6, 7}


def test_a_picture_drawn_again_is_another_draw() -> None:
    order = epoch_order(LABELS, "balanced", seed=1, epoch=1)
    assert len({tuple(row) for row in order.tolist()}) == 60
    of_one = sorted(order[order[:, 0] == 58, 1].tolist())
    assert of_one == list(range(len(of_one)))


def test_classes_are_mixed_and_not_drawn_in_blocks() -> None:
    labels = np.array(LABELS)[epoch_order(LABELS, "balanced", 0, 1)[:, 0]]
    assert (np.diff(labels) != 0).sum() > 20


@pytest.mark.parametrize(("rule", "counts"), [("shuffle", {2, 3}), ("balanced", {1, 8, 17})])
def test_an_epoch_of_more_draws_than_pictures_begins_new_rounds(rule: str, counts: set[int]) -> None:
    order = epoch_order(LABELS, rule, 1, 1, num_draws=150)  # type: ignore[arg-type]
    assert len({tuple(row) for row in order.tolist()}) == 150
    drawn = np.bincount(order[:, 0], minlength=60)
    assert all(min(abs(count - other) for other in counts) <= 1 for count in drawn.tolist())
    assert len(epoch_order(LABELS, rule, 1, 1, num_draws=20)) == 20  # type: ignore[arg-type]


def test_draws_that_do_not_divide_are_still_one_epoch() -> None:
    labels = [*LABELS, 0, 0]
    for epoch in range(5):
        counts = np.bincount(np.array(labels)[epoch_order(labels, "balanced", 0, epoch)[:, 0]])
        assert sorted(counts.tolist()) == [20, 21, 21]


def test_auto_balances_below_a_tenth_and_only_there() -> None:
    assert resolve("auto", LABELS) == "balanced"
    assert resolve("auto", [0] * 10 + [1]) == "shuffle"
    assert resolve("shuffle", LABELS) == "shuffle"


def test_the_log_line_reports_the_rule_of_thumb_where_it_is_not_followed() -> None:
    assert imbalance(LABELS) == pytest.approx(0.06)
    assert describe(LABELS, "shuffle").endswith("where the rule of thumb (10%) is train.sampling: balanced")
    assert describe(LABELS, "auto") == "sampling: balanced; the rarest class has 6.0% of the largest class's pictures"


def test_expected_counts_are_what_epochs_draw_and_name_absent_classes() -> None:
    assert expected_counts(LABELS, 4, "shuffle") == [50, 7, 3, 0]
    assert expected_counts(LABELS, 4, "balanced") == [20, 20, 20, 0]
