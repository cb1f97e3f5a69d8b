"""What nodes and processes answer, judged: faults that one machine cannot show for real."""

from typing import Any

from slurm.doctor import judge_ranks
from slurm.node_facts import NodeFacts
from slurm.nodes import judge
from training.process.rank_report import RankFacts, RankReport

GOOD: dict[str, Any] = {
    "python": "3.11.2", "environment_sha256": "a" * 64, "git_commit": "c" * 40, "cores": 8, "gpus_visible": 2,
    "gpus_given": 2, "token": "t", "shared_memory_mib": 9000, "free_port": 1234,
}  # fmt: skip


def facts(node: str, **changes: Any) -> NodeFacts:
    return NodeFacts(node=node, **{**GOOD, **changes})


def problems(*answers: NodeFacts, nodes: tuple[str, ...] = ("n1", "n2", "n3")) -> tuple[str, ...]:
    return judge(nodes, answers, "t", 0).problems


def test_equal_nodes_have_no_problem() -> None:
    assert problems(facts("n1"), facts("n2"), facts("n3")) == ()


def test_a_node_that_does_not_answer_is_named() -> None:
    (problem,) = problems(facts("n1"), facts("n3"))
    assert problem.startswith("n2: no answer")


def test_one_process_where_there_should_be_two_is_named() -> None:
    found = problems(facts("n1"), facts("n2", gpus_visible=1), facts("n3"))
    assert any(
        "n2: Slurm gives 2 GPU(s), 1 can be used: 1 process(es) would run where there should be 2" in p for p in found
    )
    (problem,) = judge_ranks(_report("n1", "n1", "n2"), [facts("n1"), facts("n2")])
    assert problem == "n2: 1 process(es) where there should be 2"


def test_nodes_that_differ_from_the_others_are_named() -> None:
    changes = {"environment_sha256": "b" * 64, "python": "3.11.9", "git_commit": "d" * 40}
    found = problems(facts("n1"), facts("n2", **changes), facts("n3"))
    assert [p.split(",")[0] for p in found] == [
        "environment differs: n2 has bbbbbbbbbbbb",
        "Python differs: n2 has 3.11.9",
        "commit differs: n2 has dddddddddddd",
    ]


def test_a_folder_of_the_same_name_that_is_not_the_shared_one_is_told() -> None:
    (problem,) = problems(facts("n1"), facts("n2", token=None), facts("n3"))
    assert problem == "n2: does not see what the job wrote: the folder there is not on the shared disk"


def test_little_shared_memory_and_an_unlocked_package_are_warnings() -> None:
    report = judge(("n1",), [facts("n1", shared_memory_mib=64, unlocked=("timm is 1, pinned is 2",))], "t", 0)
    assert report.problems == ()
    assert "n1: 64 MiB of shared memory" in report.warnings[0]
    assert "timm is 1, pinned is 2" in report.warnings[1]


def test_two_processes_on_one_gpu_and_a_wrong_sum_are_told() -> None:
    report = _report("n1", "n1", devices=("x", "x")).model_copy(update={"sum_is_right": False})
    shared, wrong = judge_ranks(report, [facts("n1")])
    assert shared == "processes 0 on n1 and 1 on n1 share the GPU x: one of them must get a device of its own"
    assert "wrong sum" in wrong


def _report(*nodes: str, devices: tuple[str, ...] | None = None) -> RankReport:
    ranks = tuple(
        RankFacts(rank=rank, node=node, local_rank=0, device=devices[rank] if devices else f"gpu{rank}")
        for rank, node in enumerate(nodes)
    )
    return RankReport(world_size=len(ranks), backend="nccl", ranks=ranks, sum_is_right=True, bandwidth_mib_s={})
