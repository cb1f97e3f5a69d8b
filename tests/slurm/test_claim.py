"""One job or chain at a time works in artifacts/. A stand-in for squeue says which jobs there are."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from slurm import links, train
from slurm.allocation import SlurmError
from slurm.claim import CLAIM_FILE, claimed, members_path
from slurm.warning import Warned
from tests.slurm.conftest import Project

Squeue = Callable[[Mapping[int, str]], None]


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Squeue:
    """Sets what Slurm knows: job -> state."""
    program = tmp_path / "bin/squeue"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nset -e\ntest -z "$SQUEUE_USERS"\ncat {tmp_path}/jobs\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SQUEUE_USERS", "somebody")  # would hide the others' jobs

    def set_jobs(jobs: Mapping[int, str]) -> None:
        (tmp_path / "jobs").write_text("".join(f"{job} {state}\n" for job, state in jobs.items()))

    set_jobs({})
    return set_jobs


def leave_to_be_requeued(job: str, folder: Path, chain: str = "") -> None:
    """As a warned job, a killed one or one whose node died leaves the folder."""
    with pytest.raises(Warned), claimed(job, chain, folder):
        raise Warned


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "SUSPENDED"])
def test_a_second_job_is_refused_by_name_while_the_first_has_not_ended(
    state: str, tmp_path: Path, squeue: Squeue
) -> None:
    leave_to_be_requeued("17", tmp_path)
    squeue({16: "RUNNING", 17: state, 18: "RUNNING"})
    with pytest.raises(SlurmError, match=r"artifacts/ belongs to job 17, .* another checkout \(git worktree\)"):
        claimed("18", "", tmp_path).__enter__()
    with claimed("17", "", tmp_path):  # goes on
        pass
    with claimed("18", "", tmp_path):
        pass


@pytest.mark.parametrize("jobs", [{}, {17: "CANCELLED"}, {17: "TIMEOUT"}, {17: "NODE_FAIL"}])
def test_the_claim_of_a_job_that_has_ended_is_void(jobs: Mapping[int, str], tmp_path: Path, squeue: Squeue) -> None:
    leave_to_be_requeued("17", tmp_path)
    squeue(jobs)
    with claimed("18", "", tmp_path):
        assert (tmp_path / CLAIM_FILE).read_text() == "18"


def test_a_job_that_is_done_gives_the_folder_back_though_slurm_still_ends_it(tmp_path: Path, squeue: Squeue) -> None:
    squeue({17: "RUNNING"})
    with claimed("17", "", tmp_path):
        pass
    assert not (tmp_path / CLAIM_FILE).exists()
    with claimed("18", "", tmp_path):
        assert (tmp_path / CLAIM_FILE).read_text() == "18"


def test_a_chain_holds_the_folder_between_its_jobs_until_the_last(tmp_path: Path, squeue: Squeue) -> None:
    members_path(tmp_path, "17").write_text("17\n18\n19\n")
    squeue({17: "RUNNING", 18: "PENDING", 19: "PENDING"})
    with claimed("17", "", tmp_path):
        pass
    squeue({17: "COMPLETED", 18: "PENDING", 19: "PENDING"})
    with pytest.raises(SlurmError, match="belongs to job 18, 19, "):
        claimed("20", "", tmp_path).__enter__()
    for number in (18, 19):
        squeue({number: "RUNNING", **({19: "PENDING"} if number == 18 else {})})
        with claimed(str(number), "17", tmp_path):
            pass
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "jobs", "claim.lock"}


def test_a_chain_whose_link_failed_holds_nothing_once_slurm_has_cancelled_the_rest(
    tmp_path: Path, squeue: Squeue
) -> None:
    members_path(tmp_path, "17").write_text("17\n18\n19\n")
    leave_to_be_requeued("18", tmp_path, "17")
    squeue({17: "COMPLETED", 18: "FAILED", 19: "CANCELLED"})
    with claimed("20", "", tmp_path):
        pass
    assert not members_path(tmp_path, "17").exists()


def test_training_and_links_are_refused_before_they_touch_anything(
    tmp_path: Path, squeue: Squeue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = Path("params.yaml").resolve()
    monkeypatch.chdir(tmp_path)
    leave_to_be_requeued("17", Path("artifacts/slurm"))
    squeue({17: "RUNNING", 18: "RUNNING"})
    scontrol = tmp_path / "bin/scontrol"
    scontrol.write_text("#!/bin/sh\necho node1\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node1")
    monkeypatch.setattr(train, "_work", lambda *_: pytest.fail("worked"))
    monkeypatch.setattr(links, "run_links", lambda *_: pytest.fail("worked"))
    assert train.main([]) == 2
    assert links.main(["evaluate", "--params", str(params)]) == 2
    assert capsys.readouterr().err.count("belongs to job 17") == 2


@pytest.mark.slow
def test_a_link_is_refused_while_slurm_has_another_chain_waiting(project: Project) -> None:
    waiting = project.submit("--hold", "--output=logs/%j.out", "--wrap", "true")
    leave_to_be_requeued(waiting, project.folder / "artifacts/slurm")
    refused = project.submit("slurm/link.sbatch", "export")
    assert project.finish(refused) == "FAILED"
    assert f"belongs to job {waiting}, which has not ended" in project.logs()
    project.run("scancel", waiting)
    project.wait(lambda: project.state(waiting) == "CANCELLED", "the end of the other")
    tried = project.submit("slurm/link.sbatch", "export")
    assert project.finish(tried) == "FAILED"  # nothing is trained here
    assert "the chain stops at 'export'" in project.logs()
