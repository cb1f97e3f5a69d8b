"""The benchmark of answers draws the regions that it says, and its figures are of whole answers."""

import numpy as np
import pytest

from benchmarks import outlines
from tests.runtime.answers.drawn_regions import encoded


def test_costs_are_of_answers_with_so_many_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines, "NUM_ROUNDS", 1)
    monkeypatch.setattr(outlines, "SIZE", (400, 300))
    picture = encoded(np.zeros((300, 400), bool), "JPEG")
    for num_regions in (1, 10, 100):
        costs = outlines.costs_of_answers(num_regions, picture)  # asserts their number
        assert costs["regions"] == num_regions
        assert min(costs["answer_ms"], costs["index_mask_ms"], costs["overlay_ms"], costs["json_kb"]) > 0
    with pytest.raises(ValueError, match="give the same picture"):
        outlines.costs_of_answers(1, encoded(np.zeros((400, 300), bool), "JPEG"))
