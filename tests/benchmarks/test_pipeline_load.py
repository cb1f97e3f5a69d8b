"""The pipeline's benchmark: what is read from a server, how rounds become a table, and a turn with a real server."""

import json
import os
from pathlib import Path

import pytest

from benchmarks import pipeline_load
from benchmarks.load.load import percentile
from benchmarks.load.server_process import ServerFailedError
from benchmarks.machine import describe
from benchmarks.pages.pipeline_page import render
from benchmarks.pipeline.measured import (
    OURS,
    PER_REQUEST,
    STAGES,
    WAYS,
    WINDOW,
    Phase,
    PipelineReport,
    ReportError,
    Shape,
    StageTimes,
    quantiles,
    stage_times,
)
from benchmarks.pipeline.turn import (
    OPEN,
    Counted,
    Ground,
    Lengths,
    answered,
    busy_shares,
    check_answer,
    take_turn,
    total,
    untrained,
)
from benchmarks.pipeline_load import costs_of, growth_of, in_words, num_crops
from benchmarks.workload import camera_picture
from runtime.model.session import Predictor

SHAPE = Shape(cores=2, decode_threads=2, sessions=2, max_batch_images=4, crops=6)
LINE = {"status": 200, "decode_ms": 10.0, "queue_ms": 1.0, "detect_ms": 20.0, "crop_ms": 3.0}
LINE |= {"classify_ms": 8.0, "encode_ms": 0.5, "total_ms": 45.0}


def phase(way: str, number: int, load: str, goodput: float, p95_ms: float, busiest: str = "detect") -> Phase:
    stages = dict.fromkeys(STAGES, StageTimes(p50_ms=1, p95_ms=2))
    busy = {stage: 0.9 if stage == busiest else 0.1 for stage in STAGES}
    return Phase(
        way=way, round=number, load=load, offered_per_s=goodput, goodput_per_s=goodput, p50_ms=p95_ms / 2,
        p95_ms=p95_ms, stages=stages, busy=busy, crops_a_batch=3.0,
    )  # fmt: skip


@pytest.fixture
def report() -> PipelineReport:
    return PipelineReport(machine=describe({0}, {0}), models="none", picture_bytes=1, shape=SHAPE)


def test_gain_is_of_figures_of_one_round_and_the_busiest_stage_is_named(report: PipelineReport) -> None:
    report.phases = [
        phase(OURS, 0, "8", 30, 50),
        phase(PER_REQUEST, 0, "8", 20, 70),
        phase(OURS, 1, "8", 10, 100, "crop"),
    ]
    report.phases += [phase(PER_REQUEST, 1, "8", 10, 90), phase(PER_REQUEST, 2, "8", 1, 1), phase(OURS, 3, "8", 5, 9)]
    gain = json.loads(report.to_json())["gains"][0]
    assert (gain["against"], gain["load"]) == (PER_REQUEST, "8")
    assert gain["throughput_ratio"] == {"median": 1.25, "low": 1.0, "high": 1.5}
    assert gain["added_p95_ms"] == {"median": -5.0, "low": -20.0, "high": 10.0}
    assert report.bottleneck("8") == ("detect", 0.9)
    words = "".join(in_words(report))
    assert "8 clients: the busiest stage is detect, 90% of its slots" in words
    assert "8 clients, against one call a request: 1.25 times the answers (1.00 to 1.50), p95 -5.0 ms" in words
    assert f"against {WAYS[WINDOW]}" not in words


def test_report_is_read_back_and_what_is_none_says_what_to_run(report: PipelineReport, tmp_path: Path) -> None:
    report.phases = [phase(OURS, 0, "1", 30, 50)]
    report.costs = costs_of([LINE], 0.5, 0.5, SHAPE)
    path = tmp_path / "pipeline.json"
    path.write_text(report.to_json())
    assert PipelineReport.read(path) == report
    with pytest.raises(ReportError, match="is not there: `make bench-pipeline` measures it"):
        PipelineReport.read(tmp_path / "none.json")
    path.write_text('{"machine": 1}')
    with pytest.raises(ReportError, match="is no report of `make bench-pipeline`"):
        PipelineReport.read(path)


def test_page_shows_every_load_with_its_bottleneck_also_when_nothing_is_measured(report: PipelineReport) -> None:
    assert "Where the pipeline's time goes" in render(report)
    report.phases = [phase(OURS, 0, "8", 30, 50), phase(WINDOW, 0, "8", 20, 70)]
    page = render(report)
    assert "<td>detect</td>" in page
    assert "<td>1.50</td>" in page


def test_busy_share_is_work_by_slots_and_no_stage_has_more_slots_than_cores() -> None:
    before = Counted(10.0, {"detect": 1.0, "classify": 0.0}, {}, {})
    after = Counted(14.0, {"detect": 5.0, "classify": 2.0}, {}, {})
    busy = busy_shares(before, after, {"decode": 10.0, "crop": 2.0, "encode": 1.0}, 100, replace_decoders(8))
    assert busy == pytest.approx({"decode": 1 / 8, "detect": 0.5, "crop": 0.2 / 8, "classify": 0.25, "encode": 0.1 / 4})


def replace_decoders(number: int) -> Shape:
    return SHAPE.model_copy(update={"decode_threads": number})


def test_metrics_are_summed_over_processes_and_logs_read_where_they_are_whole() -> None:
    name = "vision_crop_batch_images_sum"
    assert total(f'{name} 3.0\n{name}{{pid="2"}} 4.5\n{name}_x 9\n', name) == 7.5
    assert total(f"{name} 3.0\n", "vision_detect_batch_images_sum") == 0
    refused, cut = {**LINE, "status": 503}, json.dumps(LINE)[:-5]
    nothing_found = {**LINE, "classify_ms": None}
    assert answered(["INFO: started", *map(json.dumps, (LINE, refused, nothing_found)), cut]) == [LINE]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'[{"classifications": [{}], "classified": "done"}]', r"expected 2 classified objects, got \(1, 'done'\)"),
        (b'[{"classifications": [], "classified": "failed"}]', "failed"),
        (b"<html>", "expected the answer of /detect"),
    ],
)
def test_server_that_does_less_work_is_not_measured(body: bytes, message: str) -> None:
    check_answer(b'HTTP/1.1 200 OK\r\n\r\n[{"classifications": [{}, {}], "classified": "done"}]', 2)
    with pytest.raises(ServerFailedError, match=message):
        check_answer(b"HTTP/1.1 200 OK\r\n\r\n" + body, 2)


def test_costs_are_of_one_image_and_of_what_no_stage_is_charged_for() -> None:
    costs = costs_of([LINE, {**LINE, "detect_ms": 40.0}], 0.5, 0.5, SHAPE)
    assert costs.detect_ms == 30
    assert costs.classify_ms == pytest.approx(8 / 2), "two sessions with three crops each, 1 + 2 x 0.5"
    assert costs.quantiles_ms["other"][0] == 0.0
    assert costs.quantiles_ms["other"][-1] == 45 - 42.5
    assert (costs.quantiles_ms["detect"][0], costs.quantiles_ms["detect"][-1]) == pytest.approx((2 / 3, 4 / 3))


def test_quantiles_and_percentiles_are_of_the_values() -> None:
    values = [float(value) for value in range(101)]
    assert quantiles(values)[::5] == [0, 25, 50, 75, 100]
    times = stage_times(values)
    assert (times.p50_ms, times.p95_ms) == (50, percentile(values, 95)) == (50, 95)


def test_bento_that_is_not_there_says_how_one_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    assert pipeline_load.main(["--bento", "vision:none"]) == 2
    assert "cannot serve vision:none" in (printed := capsys.readouterr().err)
    assert "`make bento TASK=detect` builds one" in printed


@pytest.mark.slow
def test_turn_against_a_real_server_measures_every_load_with_its_stages() -> None:
    picture, cores = camera_picture(), os.sched_getaffinity(0)
    lengths = Lengths(closed_s=0.6, open_s=1.5, clients=(1, 4), warm_up_s=0.2)
    with untrained(num_objects=3) as served:
        detector = Predictor.load(served.folders["detect"], "cpu", 1)
        shape = replace_decoders(2).model_copy(update={"crops": num_crops(detector, picture), "cores": len(cores)})
        assert shape.crops == 3
        assert 0 <= growth_of(Predictor.load(served.folders["classify"], "cpu", 1)) < 10
        phases, alone = take_turn(PER_REQUEST, 0, Ground(served, shape, picture, (cores, cores)), lengths)
    assert [one.load for one in phases] == ["1", "4", OPEN]
    assert alone
    for one in phases:
        assert set(one.stages) == set(one.busy) == set(STAGES)
        assert all(0 < times.p50_ms <= times.p95_ms for times in one.stages.values())
        assert all(0 < share <= 1.5 for share in one.busy.values())
        assert one.goodput_per_s > 0
        assert one.offered_per_s > 0
        assert one.crops_a_batch == 3, "one call a request"
