"""The benchmark of evaluation runs the real command and reports what the kernel counted of it."""

import json
from pathlib import Path

import pytest

from benchmarks import evaluation_scale


def test_a_quick_run_counts_the_command_and_not_the_drawing(tmp_path: Path) -> None:
    assert evaluation_scale.main(["--quick", "--out", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "evaluation_scale.json").read_text())
    (cost,) = written["costs"]
    assert cost["num_predictions"] == 400
    assert cost["num_groups"] == 100
    assert cost["cpu_s"] > 0
    assert cost["highest_memory_mib"] > 100  # what importing pandas, scikit-learn and matplotlib takes at least
    assert cost["report_bytes"] > 100_000  # its pictures are there
    assert written["machine"]["num_cores"] >= 1


def test_a_failing_evaluation_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("evaluate: {}\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="of 400 predictions ended with 2"):
        evaluation_scale.measure(400, tmp_path / "params.yaml")
