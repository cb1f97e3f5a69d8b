"""Outlines under load: what is read from a server's log, and how rounds become a table."""

import json

import pytest

from benchmarks.load.segment_turn import stages_of
from benchmarks.load.servers import OURS
from benchmarks.machine import describe
from benchmarks.pages.segment_report import NAIVE, Phase, SegmentReport, render


def _phase(server: str, round_number: int, goodput_per_s: float) -> Phase:
    stages = {"decode": 2.0, "inference": 9.0, "encode": 1.0 + round_number}
    return Phase(server, round_number, "small", 8, goodput_per_s, 10.0, 20.0, 12.5, stages)


@pytest.fixture
def report() -> SegmentReport:
    report = SegmentReport(describe({0}, {0}), "vision:x", "vision-segmenter:y", {"small": 10, "large": 20})
    report.phases += [_phase(OURS, 0, 30), _phase(NAIVE, 0, 10), _phase(NAIVE, 1, 20), _phase(OURS, 1, 30)]
    return report


def test_ratio_is_of_figures_of_one_round(report: SegmentReport) -> None:
    ours, naive = report.rows()
    assert (ours["server"], naive["server"]) == (OURS, NAIVE)
    ratio = json.loads(report.to_json())["rows"][0]["divided_by_naive"]
    assert ratio == {"median": 2.25, "low": 1.5, "high": 3.0}


def test_page_shows_every_row_with_its_stages(report: SegmentReport) -> None:
    page = render(report)
    assert "<td>2.25 (1.50 to 3.00)</td>" in page
    assert "<td>1.5 (1.0 to 2.0)</td>" in page  # encode, over both rounds


def test_run_that_has_begun_and_measured_nothing_has_a_page() -> None:
    report = SegmentReport(describe({0}, {0}), "vision:x", "vision-segmenter:y", {"small": 10, "large": 20})
    assert report.rows() == []
    assert "Outlines under load" in render(report)


def test_stages_are_medians_of_answered_requests_alone() -> None:
    lines = [
        "INFO:     started",
        *(json.dumps({"event": "request", "status": 200, "decode_ms": ms, "inference_ms": 5.0}) for ms in (1, 2, 9)),
        json.dumps({"event": "request", "status": 503, "decode_ms": 1000, "inference_ms": None}),
        '{"event": "request", "status": 200, "decode_m',
    ]
    assert stages_of(lines) == {"decode": 2, "inference": 5.0}
