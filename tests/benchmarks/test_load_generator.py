"""The load generator counts right, against a real server of known behaviour, from a process of its own."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.load.load import Load, LoadError, LoadResult
from benchmarks.load.load_generator import (
    LOST,
    TIMEOUT,
    Sample,
    due_times,
    main,
    percentile,
    summarise,
)
from benchmarks.load.turns import run_module
from tests.benchmarks.known_server import CLOSE, SILENCE, KnownServer, load_for, serving


def _run(load: Load, folder: Path) -> LoadResult:
    path = folder / "load.json"
    path.write_text(json.dumps(asdict(load)))
    return LoadResult(**run_module("benchmarks.load.load_generator", [str(path)], os.sched_getaffinity(0)))


def test_closed_loop_throughput_is_clients_over_latency_and_counts_what_the_server_counted(tmp_path: Path) -> None:
    with serving(KnownServer(latency_s=0.05)) as server:
        result = _run(load_for(server, tmp_path, num_clients=8), tmp_path)
    assert 80 <= result.goodput_per_s <= 8 / 0.05 + 8  # all clients may end once more at the window's edge
    assert result.latency_ms is not None
    assert 50 <= result.latency_ms["p50"] <= 100
    assert result.num_answered == len(server.given)
    assert result.num_unanswered == 0
    assert result.answers.keys() == {"200"}


def test_a_server_that_works_on_one_at_a_time_makes_clients_wait_in_line(tmp_path: Path) -> None:
    with serving(KnownServer(latency_s=0.02, concurrency=1)) as server:
        result = _run(load_for(server, tmp_path, num_clients=6), tmp_path)
    assert 25 <= result.goodput_per_s <= 1 / 0.02 + 6  # answers to all clients may arrive late, in the window
    assert result.latency_ms is not None
    assert result.latency_ms["p50"] >= 6 * 20 * 0.95


def test_refusals_and_lost_connections_are_answers_of_their_own_and_no_goodput(tmp_path: Path) -> None:
    outcomes = ("200", "503", "200", CLOSE)
    with serving(KnownServer(latency_s=0.005, outcomes=outcomes)) as server:
        result = _run(load_for(server, tmp_path, num_clients=1, ramp_s=0.0), tmp_path)
    assert result.answers == {
        "200": server.given.count("200"),
        "503": server.given.count("503"),
        LOST: server.given.count(CLOSE),
    }
    assert result.num_unanswered == server.given.count(CLOSE) > 1
    assert result.goodput_per_s == pytest.approx(result.answered_per_s * 2 / 3, abs=2)


def test_a_server_that_never_answers_ends_in_timeouts_and_in_time(tmp_path: Path) -> None:
    with serving(KnownServer(outcomes=(SILENCE,))) as server:
        begin_s = time.monotonic()
        load = load_for(server, tmp_path, rate_per_s=20.0, duration_s=0.5, timeout_s=0.5)
        result = _run(load, tmp_path)
    assert set(result.answers) == {TIMEOUT}
    assert result.latency_ms is None
    assert result.goodput_per_s == 0
    assert time.monotonic() - begin_s < 5


def test_open_loop_charges_a_stall_to_every_request_due_in_it(tmp_path: Path) -> None:
    """A closed loop asks once during the stall and reports a single slow answer: coordinated omission."""
    server = KnownServer(latency_s=0.002, stall=(0.3, 0.6))
    with serving(server):
        opened = _run(load_for(server, tmp_path, rate_per_s=100.0, arrivals="fixed"), tmp_path)
    with serving(server := KnownServer(latency_s=0.002, stall=(0.3, 0.6))):
        closed = _run(load_for(server, tmp_path, num_clients=1), tmp_path)
    assert opened.latency_ms is not None
    assert closed.latency_ms is not None
    assert opened.latency_ms["p90"] >= 400  # 60 of 100 requests wait, up to 0.6 s
    assert closed.latency_ms["p90"] < 100


def test_waiting_for_a_connection_counts_as_latency_and_shows_as_send_lag(tmp_path: Path) -> None:
    with serving(server := KnownServer(latency_s=0.002, stall=(0.3, 0.6))):
        load = load_for(server, tmp_path, rate_per_s=100.0, arrivals="fixed", max_connections=1)
        result = _run(load, tmp_path)
    assert result.latency_ms is not None
    assert result.latency_ms["p90"] >= 400
    assert result.send_lag_p99_ms >= 400


def test_an_open_loop_offers_its_rate_whatever_the_server_does(tmp_path: Path) -> None:
    with serving(KnownServer(latency_s=0.1, concurrency=1)) as server:
        load = load_for(server, tmp_path, rate_per_s=50.0, arrivals="fixed", timeout_s=0.5)
        result = _run(load, tmp_path)
    assert result.offered_per_s == pytest.approx(50, abs=1)
    assert result.goodput_per_s <= 11
    assert result.num_answered + result.num_unanswered == len(due_times(load))


def test_arrivals_have_their_rate_and_repeat_with_their_seed(tmp_path: Path) -> None:
    load = Load("x", 1, "x", duration_s=100.0, ramp_s=0.0, rate_per_s=50.0)
    poisson = due_times(load)
    assert len(poisson) == pytest.approx(5000, rel=0.05)
    assert poisson == due_times(load) != due_times(replace(load, seed=1))
    assert max(b - a for a, b in pairwise(poisson)) > 3 / 50  # bursts and pauses
    assert len(due_times(replace(load, arrivals="fixed"))) == pytest.approx(5000, abs=1)


def test_only_the_window_is_counted_by_due_time_for_latency_and_by_answer_for_rates() -> None:
    samples = [
        Sample(due_s=0.5, sent_s=0.5, done_s=1.5, outcome="200"),  # due before, answered in the window
        Sample(due_s=1.0, sent_s=1.2, done_s=1.3, outcome="200"),
        Sample(due_s=1.9, sent_s=1.9, done_s=2.4, outcome="200"),  # due in the window, answered after
        Sample(due_s=1.5, sent_s=1.5, done_s=1.6, outcome="503"),
        Sample(due_s=1.5, sent_s=1.5, done_s=1.9, outcome=TIMEOUT),
    ]
    result = summarise(samples, window_start_s=1.0, window_s=1.0, cpu_s=0.25)
    assert (result.goodput_per_s, result.answered_per_s, result.offered_per_s) == (2, 3, 4)
    assert result.answers == {"200": 2, "503": 1, TIMEOUT: 1}
    assert result.latency_ms == pytest.approx({"p50": 300, "p90": 500, "p95": 500, "p99": 500, "max": 500})
    assert (result.num_answered, result.num_unanswered, result.generator_cores) == (4, 1, 0.25)


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (90, 9), (91, 10), (99, 10), (100, 10), (1, 1)])
def test_percentile_takes_the_nearest_rank(percent: float, value: int) -> None:
    assert percentile(range(1, 11), percent) == value


def test_a_load_that_cannot_be_made_is_refused_with_its_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LoadError, match=r"expected clients or a rate, got 3 clients and 2\.0/s"):
        Load("x", 1, "x", duration_s=1.0, num_clients=3, rate_per_s=2.0)
    path = tmp_path / "load.json"
    path.write_text('{"host": "x"}')
    assert main([str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_the_generator_loads_nothing_but_the_standard_library() -> None:
    code = "import sys, benchmarks.load.load_generator\nprint(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"numpy", "bentoml", "psutil", "onnxruntime"} == set()
