"""Which failures count as the same, and which of several nodes' failures is the cause."""

import json
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from slurm.agent import reason_of
from slurm.agent_failure import Failure, first_failure
from slurm.allocation import Allocation
from slurm.attempts import Attempts


def of_job(job_id: str, restarts: int = 0) -> Allocation:
    return Allocation(job_id=job_id, job_name="", nodes=("node1",), cpus_per_task=0, restarts=restarts)


def failure(reason: str, node: str = "node1", time: int = 100) -> Failure:
    return Failure(node=node, rank=0, time=time, reason=reason)


def test_failures_in_a_row_count_while_their_reason_is_the_same(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, of_job("7"))
    counts = []
    for reason in ("a", "b", "b", None, "b", "b", "b"):
        attempts.record(1, failure(reason) if reason else None)
        counts.append(attempts.same_failures())
    assert counts == [1, 1, 2, 0, 1, 2, 3]


def test_a_requeued_job_goes_on_counting_also_after_half_a_line_and_another_job_begins_anew(tmp_path: Path) -> None:
    first = Attempts(tmp_path, of_job("7"))
    first.record(1, failure("a"))
    with first.path.open("a") as file:
        file.write('\n{"status": 1, "fai')  # as a node leaves it that dies meanwhile
    requeued = Attempts(tmp_path, of_job("7", restarts=1))
    requeued.record(1, failure("a"))
    other = Attempts(tmp_path, of_job("8"))
    other.record(1, failure("a"))
    assert (requeued.same_failures(), other.same_failures()) == (2, 1)
    assert Attempts(tmp_path, of_job("7")).same_failures() == 0  # a new cluster counts its jobs from 1 again


def test_a_job_is_done_when_its_last_attempt_came_to_its_end(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path, of_job("7"))
    found = []
    for status, why in ((1, failure("a")), (75, None), (0, None)):
        found.append(attempts.is_done())
        attempts.record(status, why)
    assert found == [False, False, False]
    assert attempts.is_done()


@pytest.mark.parametrize("noticed", [99, 100, 102])
def test_the_first_failure_is_the_cause_and_a_kill_beats_its_echo(tmp_path: Path, noticed: int) -> None:
    """The agent of the killed process may notice it after the peer's exception."""
    for number, one in enumerate(
        (failure("RuntimeError: peer closed", "node1", 100), failure("killed by SIGKILL", "node2", noticed))
    ):
        (tmp_path / f"{number}.json").write_text(one.model_dump_json())
    assert first_failure(tmp_path, 1).node == "node2"
    (tmp_path / "2.json").write_text(failure("MemoryError", "node3", noticed - 3).model_dump_json())
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
