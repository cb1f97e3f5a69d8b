"""The two shapes are compared round by round, and a server that failed is no figure."""

from pathlib import Path

import pytest

from benchmarks import machine
from benchmarks.load.load import LoadResult
from benchmarks.load.served_bento import BenchmarkError
from benchmarks.load.turns import Kind, Phase, Turn
from benchmarks.pages.summary import Spread
from benchmarks.shapes import PLAN, ShapesReport, main, table

SINGLE, FRONTS = "one process", "2 fronts and an inference worker"


def _turn(name: str, number: int, per_s: float, p50_ms: float) -> Turn:
    latency = {"p50": p50_ms, "p90": p50_ms, "p99": p50_ms, "max": p50_ms}
    result = LoadResult(per_s, per_s, per_s, {}, latency, 1, 0, 0.0, 0.0)
    kinds: list[tuple[Kind, float]] = [("before", 1), ("sweep", 32), ("after", 1), ("large", 4)]
    return Turn(name, number, phases=[Phase(kind, level, result, 2.0) for kind, level in kinds])


def _report(*turns: Turn) -> ShapesReport:
    return ShapesReport(machine.describe({0}, {0}), "m:1", 2, PLAN, list(turns))


def test_a_machine_that_halves_its_speed_between_rounds_changes_no_ratio() -> None:
    turns = [_turn(SINGLE, 0, 200, 5), _turn(FRONTS, 0, 150, 10), _turn(FRONTS, 1, 75, 20), _turn(SINGLE, 1, 100, 10)]
    rows = {row.what: row for row in _report(*turns).rows()}
    assert rows["32 clients, requests/s"].ratio == Spread(0.75, 0.75, 0.75)
    assert rows["1 client, p50 in ms"].ratio == Spread(2, 2, 2)
    assert rows["32 clients, requests/s"].single == Spread(150, 100, 200)
    assert "| 32 clients, requests/s | 150.0 | 112.5 | 0.75 (0.75 to 0.75) |" in table(list(rows.values()))


def test_a_server_that_failed_ends_the_run_with_its_reason() -> None:
    with pytest.raises(BenchmarkError, match=f"{FRONTS}: it ended with code 1"):
        _report(_turn(SINGLE, 0, 200, 5), Turn(FRONTS, 0, failure="it ended with code 1")).rows()


def test_without_a_bento_it_ends_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bento", "no-such-bento:latest", "--out", str(tmp_path)]) == 2
    assert "no-such-bento:latest" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
