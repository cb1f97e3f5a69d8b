"""The benchmark of tiles asks for nine of them, and divides figures of one round by each other."""

import json

import pytest

from benchmarks.load.served_bento import BenchmarkError
from benchmarks.load.servers import OURS
from benchmarks.machine import describe
from benchmarks.pages.segment_report import Phase
from benchmarks.tiles import TILED, WHOLE, TilesReport, in_words, size_of_tiles
from benchmarks.workload import CAMERA_SIZE_PX
from runtime.model.tiles import TileParams, tile_boxes


def _phase(kind: str, round_number: int, p50_ms: float | None, goodput_per_s: float, cpu_ms: float | None) -> Phase:
    return Phase(OURS, round_number, kind, 1, goodput_per_s, p50_ms, p50_ms, cpu_ms, {})


@pytest.fixture
def report() -> TilesReport:
    return TilesReport(describe({0}, {0}), "vision:x", "vision-segmenter:y", 499)


def test_ratios_are_of_figures_of_one_round(report: TilesReport) -> None:
    report.phases += [_phase(WHOLE, 0, 10, 50, 10), _phase(TILED, 0, 40, 10, 60), _phase(TILED, 1, 120, 5, 70)]
    report.phases += [_phase(WHOLE, 1, 20, 40, 10), _phase(WHOLE, 2, 1, 1, 1)]
    [row] = json.loads(report.to_json())["rows"]
    assert row["clients"] == 1
    assert row["latency_ratio"] == {"median": 5, "low": 4, "high": 6}
    assert row["throughput_ratio"] == {"median": 6.5, "low": 5, "high": 8}
    assert row["cpu_ratio"] == {"median": 6.5, "low": 6, "high": 7}
    assert "latency 5.00 (4.00 to 6.00), 1 / throughput 6.50" in in_words(report.rows()[0])


def test_what_was_not_answered_has_no_ratio(report: TilesReport) -> None:
    report.phases += [_phase(WHOLE, 0, 10, 50, 10), _phase(TILED, 0, None, 0, None)]
    assert in_words(report.rows()[0]).endswith("latency -, 1 / throughput -, CPU time -\n")


@pytest.mark.parametrize("network", [(224, 224), (320, 224), (64, 48)])
def test_picture_is_cut_into_nine(network: tuple[int, int]) -> None:
    size_px = size_of_tiles(CAMERA_SIZE_PX, network)
    assert len(tile_boxes(CAMERA_SIZE_PX, network, TileParams(size_px=size_px))) == 9
    with pytest.raises(BenchmarkError, match="no tiles of a network of 224 x 224 are 9"):
        size_of_tiles((20, 20), (224, 224))
