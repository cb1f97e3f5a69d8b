"""The budget of the pipeline: its simulation against what queueing theory knows, and what is said of a target."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from benchmarks import budget
from benchmarks.budget import budgets_ms, first_to_miss, in_words, judge
from benchmarks.machine import describe
from benchmarks.pipeline.measured import OURS, STAGES, Costs, Phase, PipelineReport, Shape, StageTimes
from benchmarks.pipeline.simulation import simulate

SHAPE = Shape(cores=64, decode_threads=1, sessions=1, max_batch_images=4, crops=1)


def costs(**changes: Any) -> Costs:
    """Return costs without chance; next to nothing unless stated."""
    stages = {"decode": 1e-3, "crop": 1e-3, "encode": 1e-3, "other": 0.0, "detect": 1.0, "classify": 1.0}
    stages |= {name: value for name, value in changes.items() if name in stages}
    rest = {"detect_ms": 1e-3, "classify_ms": 1e-3, "detect_growth": 1.0, "classify_growth": 1.0}
    rest |= {name: value for name, value in changes.items() if name in rest}
    return Costs(quantiles_ms={name: [value, value] for name, value in stages.items()}, **rest)


def test_one_thread_with_fixed_cost_waits_as_m_d_1_does() -> None:
    """Mean wait of M/D/1: load / (2 (1 - load)) times the cost."""
    found = simulate(costs(decode=10.0), SHAPE, rate_per_s=70, num_requests=8000)
    assert statistics.mean(found.stages_ms["decode"]) == pytest.approx(10 + 0.7 / 0.6 * 10, rel=0.1)


def test_cores_that_are_too_few_slow_all_alike() -> None:
    """One core of two threads, each with half of the work, is processor sharing: M/G/1-PS takes cost / (1 - load)."""
    shape = SHAPE.model_copy(update={"cores": 1, "decode_threads": 1000})
    found = simulate(costs(decode=10.0), shape, rate_per_s=50, num_requests=8000)
    assert statistics.mean(found.stages_ms["decode"]) == pytest.approx(10 / 0.5, rel=0.1)


def test_batches_are_those_of_the_service() -> None:
    """Batches that cost no more than one image never let a queue grow; each image at full cost does."""
    few = SHAPE.model_copy(update={"max_batch_images": 4})
    free = simulate(costs(detect_ms=10.0, detect_growth=0.0), few, rate_per_s=200, num_requests=3000)
    dear = simulate(costs(detect_ms=10.0, detect_growth=1.0), few, rate_per_s=200, num_requests=3000)
    assert max(free.stages_ms["detect"]) < 50
    assert max(dear.stages_ms["detect"]) > 1000


def test_crops_are_shared_out_among_sessions_that_are_free() -> None:
    for sessions, expected_ms in ((1, 40.0), (2, 20.0), (4, 10.0)):
        shape = SHAPE.model_copy(update={"sessions": sessions, "crops": 4})
        alone = simulate(costs(classify_ms=10.0), shape, rate_per_s=0.01, num_requests=20)
        assert statistics.median(alone.stages_ms["classify"]) == pytest.approx(expected_ms, rel=1e-3)


def test_same_seed_same_requests() -> None:
    one, two = (simulate(costs(decode=5.0), SHAPE, 20, 200, seed=seed) for seed in (1, 1))
    assert one == two != simulate(costs(decode=5.0), SHAPE, 20, 200, seed=2)


def test_budgets_are_shares_of_the_target_and_the_first_to_miss_is_where_the_queue_is() -> None:
    slow = costs(decode=10.0, detect_ms=30.0)
    shape = SHAPE.model_copy(update={"decode_threads": 8, "max_batch_images": 1})
    budgets = budgets_ms(slow, shape, 200)
    assert sum(budgets.values()) == pytest.approx(200)
    assert budgets["detect"] == pytest.approx(200 * 30 / 46, rel=0.01), "three stages of next to nothing count 5% each"
    assert budgets["encode"] == pytest.approx(200 * 2 / 46, rel=0.01)
    miss = first_to_miss(slow, shape, budgets, rate_per_s=40)
    assert (miss.stage, miss.times_its_budget > 1) == ("detect", True)
    assert 10 < miss.at_rate_per_s <= 40
    calm = first_to_miss(slow, shape, budgets, rate_per_s=1)
    assert (calm.times_its_budget < 1, calm.at_rate_per_s) == (True, 1)


@pytest.fixture
def report_path(tmp_path: Path) -> Path:
    times = dict.fromkeys(STAGES, StageTimes(p50_ms=1, p95_ms=1))
    phases = [
        Phase(
            way=OURS, round=number, load="5/s", offered_per_s=4.2, goodput_per_s=4.2, p50_ms=50, p95_ms=p95_ms,
            stages=times, busy=dict.fromkeys(STAGES, 0.1), crops_a_batch=1,
        )
        for number, p95_ms in enumerate((60.0, 80.0, 100.0))
    ]  # fmt: skip
    report = PipelineReport(
        machine=describe({0}, {0}), models="none", picture_bytes=1, shape=SHAPE.model_copy(update={"cores": 2}),
        phases=phases, costs=costs(decode=10.0, detect_ms=30.0, detect_growth=0.9),
    )  # fmt: skip
    (tmp_path / "pipeline.json").write_text(report.to_json())
    return tmp_path / "pipeline.json"


def test_target_that_does_not_hold_names_the_stage_and_what_mends_it(
    report_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--report", str(report_path), "--out", str(tmp_path / "budget.json")]
    assert budget.main(["--p95-ms", "200", "--rate", "38", *arguments]) == 1
    printed = capsys.readouterr().out
    assert "p95 of 200 ms at 38 requests/s does not hold" in printed
    assert "detect misses its budget first" in printed
    written = json.loads((tmp_path / "budget.json").read_text())
    holds = {remedy["what"]: remedy["holds"] for remedy in written["remedies"]}
    assert holds["4 cores, with VISION_SESSIONS=2 and VISION_DECODE_THREADS=2"]
    assert holds["int8, if it is 1.5 times as fast"]
    assert written["check"]["measured_p95_ms"] == 80
    assert written["check"]["predicted_by_measured"] == pytest.approx(written["check"]["predicted_p95_ms"] / 80)
    assert "80 ms measured (60 to 100)" in printed
    assert "did not keep up" not in printed, "all that came was answered: by chance fewer than five a second came"
    overloaded = PipelineReport.read(report_path)
    phases = [phase.model_copy(update={"goodput_per_s": 3.5}) for phase in overloaded.phases]
    words = "".join(in_words(judge(overloaded.model_copy(update={"phases": phases}), 200, 1)))
    assert "did not keep up with that rate, so this checks nothing" in words
    assert budget.main(["--p95-ms", "200", "--rate", "1", *arguments]) == 0


def test_what_cannot_be_judged_says_what_to_do(
    report_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert budget.main(["--p95-ms", "0", "--rate", "1", "--report", str(report_path)]) == 2
    assert budget.main(["--p95-ms", "1", "--rate", "1", "--report", str(tmp_path / "none.json")]) == 2
    errors = capsys.readouterr().err
    assert "--p95-ms and --rate must be positive" in errors
    assert "`make bench-pipeline` measures it" in errors
    unfinished = PipelineReport.read(report_path).model_copy(update={"costs": None})
    with pytest.raises(budget.BudgetError, match="ends before the first round"):
        judge(unfinished, 200, 5)
