"""MLflow that is away is told in one line before training, and outlived after it; nothing that was logged is lost."""

import itertools
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from tests.training.records.mlflow_stand_in import StandIn, stand_in_for_mlflow
from training import log_evaluation, train
from training.process.signals import Requeue
from training.records import tracking
from training.records.outbox import FIRST_PAUSE_S, LONGEST_PAUSE_S, UNSENT_FILE, Outbox, UnreachableError
from training.records.run_log import Run
from training.records.tracking import TrackingError, check_store

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with stand_in_for_mlflow(tmp_path / "artifacts") as stand_in:
        _point_to(stand_in.url, monkeypatch)
        yield stand_in


@pytest.fixture(autouse=True)
def _point_back() -> Iterator[None]:
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


def _point_to(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    tracking._create_store.cache_clear()


def _epoch(run: Run, number: int) -> None:
    run.log_epoch(number, {"train_loss": 1 / number}, [{"step_loss": 0.5}] * 2, 2 * number)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        (NOBODY, "Connection refused"),
        ("http://user:secret@127.0.0.1:9", "127.0.0.1:9 .*Connection refused"),
        ("sqlite:///{folder}/a_folder", "unable to open database file"),
        ("sqlite:///{folder}/no_database", "file is not a database"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line_within_seconds_and_before_training(
    uri: str, reason: str, tiny_tiles_dir: Path, params_file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_folder").mkdir()
    (tmp_path / "no_database").write_bytes(b"something else" * 100)
    _point_to(uri.format(folder=tmp_path), monkeypatch)
    begin = time.monotonic()
    words = ["--manifest", str(tiny_tiles_dir / "manifest.csv"), "--params", str(params_file)]
    assert train.main([*words, "--out", str(tmp_path / "run")]) == 2
    assert time.monotonic() - begin < 15
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("training: MLflow's store ")
    assert line.endswith("Start it, or set MLFLOW_TRACKING_URI; unset, runs are kept in mlflow.db here")
    assert reason.split(" .*")[-1] in line
    assert "secret" not in line
    assert not (tmp_path / "run").exists()


def test_a_server_that_takes_connections_and_is_silent_is_given_up(
    server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    server.is_silent = True
    begin = time.monotonic()
    with pytest.raises(TrackingError, match="does not answer or cannot be written"):
        check_store()
    assert time.monotonic() - begin < 10
    assert server.num_requests <= 3


def test_a_run_outlives_an_outage_and_logs_what_is_missing_after_it(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("training.records.outbox.FIRST_PAUSE_S", 0.0)
    with Run(tmp_path / "run", {"lr": 1}, {}) as run:
        _epoch(run, 1)
        server.stop()
        begin = time.monotonic()
        _epoch(run, 2)
        _epoch(run, 3)
        (tmp_path / "checkpoint.pt").write_bytes(b"weights")
        run.log_artifact(tmp_path / "checkpoint.pt")
        assert time.monotonic() - begin < 5
        assert set(server.metrics["train_loss"]) == {1}
        server.start()
        _epoch(run, 4)
    assert server.metrics["train_loss"] == {1: 1, 2: 0.5, 3: pytest.approx(1 / 3), 4: 0.25}
    assert set(server.metrics["step_loss"]) == set(range(1, 9))
    assert server.params == {"lr": "1"}
    assert server.status == "FINISHED"
    assert {path.name for path in server.artifacts.iterdir()} >= {"checkpoint.pt", "history.csv", "environment.txt"}
    said = [record.message for record in caplog.records if record.name.startswith("training.")]
    assert len(said) == 2
    assert "takes nothing now" in said[0]
    assert "Connection refused" in said[0]
    assert said[1] == "MLflow answers again and has the 4 entries that waited"


def test_what_is_missing_at_the_end_is_kept_and_sent_by_a_command(
    server: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "run"
    with Run(out, {"lr": 1}, {}) as run:
        _epoch(run, 1)
        server.stop()
        _epoch(run, 2)
    assert f"MLflow has not got all of run r1: the rest is in {out / UNSENT_FILE}" in caplog.messages[-1]
    assert len((out / "log.jsonl").read_text().splitlines()) == 2
    words = ["--unsent-only", "--training", str(out)]
    assert log_evaluation.main(words) == 2  # still away
    server.start()
    assert log_evaluation.main(words) == 0
    assert server.metrics["train_loss"] == {1: 1, 2: 0.5}
    assert server.status == "FINISHED"
    assert not (out / UNSENT_FILE).exists()


def test_a_run_that_left_during_an_outage_sends_the_rest_when_it_goes_on(server: StandIn, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", {"lr": 1}, {}).__enter__()
    server.stop()
    _epoch(run, 1)
    state = json.loads(json.dumps(run.state()))
    run.__exit__(Requeue, Requeue(), None)
    with pytest.raises(TrackingError, match="'r1', which cannot be opened at http://127"):
        Run(tmp_path / "run", {}, {}, state).__enter__()
    server.start()
    with Run(tmp_path / "run", {}, {}, state) as run:
        _epoch(run, 2)
    assert server.metrics["train_loss"] == {1: 1, 2: 0.5}
    assert server.status == "FINISHED"
    assert not (tmp_path / "run" / UNSENT_FILE).exists()


def test_while_nothing_answers_attempts_are_far_apart(caplog: pytest.LogCaptureFixture) -> None:
    seconds, attempts = iter(range(10_000)), []

    def send(item: dict[str, object]) -> None:
        attempts.append(outbox.clock())
        raise UnreachableError("away")

    caplog.set_level(logging.INFO)
    outbox = Outbox(send, clock=lambda: next(seconds) / 2)
    for _ in range(1000):
        outbox.put({"points": []})
    gaps = [round(after - before) for before, after in itertools.pairwise(attempts)]
    longest = pytest.approx([FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S, LONGEST_PAUSE_S], abs=2)
    assert gaps[:4] == longest
    assert len(outbox.waiting) == 1000
    assert len(caplog.messages) == 1
