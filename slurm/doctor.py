"""Say before training whether the nodes of a job can train together: `python -m slurm.doctor` inside a job.

First every node is looked at by itself: shared disk, environment, GPUs, data, the port. If that is well, one process
starts for every device; they must find each other, and the speed of all-reduce between them is measured. Exit status 2
if something is wrong; every sentence names the node and what to do.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from project.command import command
from slurm.allocation import Allocation, SlurmError
from slurm.node_facts import NodeFacts
from slurm.nodes import NodeReport, look_at_nodes, meeting_point
from training.process.rank_report import RankReport

SCRATCH_DIR = Path("artifacts/doctor")


def check_ranks(
    allocation: Allocation, facts: Sequence[NodeFacts], head: str, scratch_dir: Path
) -> tuple[RankReport | None, list[str]]:
    """Start all processes, let them find each other, and return what they found and what is wrong."""
    out = (scratch_dir / f"ranks-{allocation.job_id}.json").resolve()
    out.unlink(missing_ok=True)
    agent = [".venv/bin/python", "-m", "slurm.agent", "--head", head, "--run-id", f"{allocation.job_id}-doctor"]
    command = [*agent, "--failures", str(scratch_dir / "failures"), "--", "training.rank_check", "--out", str(out)]
    done = subprocess.run(allocation.srun(*command))
    if done.returncode or not out.is_file():
        return None, [
            f"the processes cannot reach each other through {head} (messages above): look at firewalls between nodes "
            "and at NCCL_SOCKET_IFNAME or GLOO_SOCKET_IFNAME, which name the network interface"
        ]
    report = RankReport.model_validate_json(out.read_text(encoding="utf-8"))
    out.unlink()
    return report, judge_ranks(report, facts)


def judge_ranks(report: RankReport, facts: Sequence[NodeFacts]) -> list[str]:
    """Compare the processes that met with those that should have."""
    problems = []
    for one in facts:
        expected, found = max(1, one.gpus_visible), sum(rank.node == one.node for rank in report.ranks)
        if found != expected:
            problems.append(f"{one.node}: {found} process(es) where there should be {expected}")
    users: dict[str, list[str]] = {}
    for rank in report.ranks:
        if rank.device:
            users.setdefault(rank.device, []).append(f"{rank.rank} on {rank.node}")
    problems += [
        f"processes {' and '.join(ranks)} share the GPU {device}: one of them must get a device of its own"
        for device, ranks in users.items()
        if len(ranks) > 1
    ]
    if not report.sum_is_right:
        problems.append("all-reduce gave a wrong sum: do not train on this; test memory and network of the nodes")
    return problems


def _say(allocation: Allocation, nodes: NodeReport, ranks: RankReport | None, problems: Sequence[str]) -> None:
    lines = [f"job {allocation.job_id} on {len(allocation.nodes)} node(s)"]
    for one in nodes.facts:
        devices = f"{one.gpus_visible} GPU(s)" if one.gpus_visible else "no GPU"
        state = "not usable" if one.missing else f"{one.cores} core(s), {devices}, data read"
        lines.append(f"  {one.node}: {state}")
    if ranks is not None:
        speed = ", ".join(f"{size} MiB at {rate:.0f} MiB/s" for size, rate in ranks.bandwidth_mib_s.items())
        lines.append(
            f"  {ranks.world_size} process(es) met by {ranks.backend}; all-reduce: {speed or 'nothing to send'}"
        )
    lines += [f"warning: {warning}" for warning in nodes.warnings]
    lines += [f"PROBLEM: {problem}" for problem in problems]
    lines.append("not ready" if problems else "ready")
    sys.stdout.write("\n".join(lines) + "\n")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--port", type=int, default=0, help="where processes meet; 0 takes a free one")
    parser.add_argument("--scratch", type=Path, default=SCRATCH_DIR, help="folder on the shared disk")


@command(_arguments, known=(SlurmError, OSError))
def main(arguments: argparse.Namespace) -> int:
    allocation = Allocation.current()
    nodes = look_at_nodes(allocation, arguments.manifest, arguments.scratch, arguments.port)
    ranks, problems = None, list(nodes.problems)
    if not problems:
        head = meeting_point(allocation, nodes, arguments.port)
        ranks, problems = check_ranks(allocation, nodes.facts, head, arguments.scratch)
    _say(allocation, nodes, ranks, problems)
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
