"""The benchmark measures what it says: rates of images, not of calls."""

import time

import pytest

from benchmarks.rates.in_process_rates import measure


def test_a_rate_counts_images_and_not_calls() -> None:
    rates = {rate.name: rate for rate in measure({"one": (_sleep, 1), "eight": (_sleep, 8)}, num_rounds=3)}
    assert rates["eight"].median / rates["one"].median == pytest.approx(8, rel=0.5)
    assert rates["one"].median <= 100  # a call takes 10 ms at the least
    assert rates["one"].low <= rates["one"].median <= rates["one"].high


def _sleep() -> None:
    time.sleep(0.01)
