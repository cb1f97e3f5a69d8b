"""Which failures count as the same, and which of several nodes' failures is the cause."""

import json
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from slurm.agent import reason_of
from slurm.agent_failure import Failure, first_failure
from slurm.attempts import Attempts


def failure(reason: str, node: str = "node1", time: int = 100) -> Failure:
    return Failure(node=node, rank=0, time=time, reason=reason)


def test_failures_in_a_row_count_while_their_reason_is_the_same(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path / "attempts.jsonl", "7")
    counts = []
    for reason in ("a", "b", "b", None, "b", "b", "b"):
        attempts.record(1, failure(reason) if reason else None)
        counts.append(attempts.same_failures())
    assert counts == [1, 1, 2, 0, 1, 2, 3]


def test_another_job_starts_to_count_anew_and_half_a_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    for _ in range(2):
        Attempts(path, "7").record(1, failure("a"))
    Attempts(path, "8").record(1, failure("a"))
    with path.open("a") as file:
        file.write('{"job_id": "7", "sta\n')
    assert (Attempts(path, "7").same_failures(), Attempts(path, "8").same_failures()) == (2, 1)


def test_the_first_failure_is_the_cause_and_a_kill_beats_its_echo(tmp_path: Path) -> None:
    for number, one in enumerate(
        (failure("RuntimeError: peer closed", "node1", 100), failure("killed by SIGKILL", "node2", 100))
    ):
        (tmp_path / f"{number}.json").write_text(one.model_dump_json())
    assert first_failure(tmp_path, 1).node == "node2"
    (tmp_path / "2.json").write_text(failure("MemoryError", "node3", 99).model_dump_json())
    assert first_failure(tmp_path, 1).node == "node3"


def test_a_step_that_no_node_explains_has_its_status_as_reason(tmp_path: Path) -> None:
    assert first_failure(tmp_path / "none", 143).reason == "srun ended with status 143; no node said why"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("RuntimeError: CUDA error at 0x7f3a in process 12345\n", "RuntimeError: CUDA error at N in process N"),
        ("ValueError: batch of 13\nfor 2 processes", "for 2 processes"),
    ],
)
def test_a_reason_leaves_out_what_differs_from_run_to_run(tmp_path: Path, message: str, reason: str) -> None:
    error_file = tmp_path / "error.json"
    error_file.write_text(json.dumps({"message": {"message": message, "extraInfo": {"timestamp": "5"}}}))
    assert reason_of(ProcessFailure(0, 1, 1, str(error_file))) == reason


def test_a_process_without_last_words_has_its_signal_or_status_as_reason(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.json")
    assert reason_of(ProcessFailure(0, 1, -9, missing)) == "killed by SIGKILL"
    assert reason_of(ProcessFailure(0, 1, 3, missing)) == "exit status 3"
