"""Look at all nodes of a job before anything is started on them, and say what is wrong with which.

Needs no torch and no network between nodes: each node answers one line through srun, and the answers are compared.
"""

import json
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from slurm.allocation import Allocation, SlurmError, node_address
from slurm.node_facts import LINE_MARK, NodeFacts

# In the shell and not in Python: where the shared disk is missing there is no Python either.
_ASK = """
if cd "$1" 2>/dev/null && [ -x .venv/bin/python ]; then shift; exec .venv/bin/python -m slurm.facts "$@"; fi
echo 'vision-node-facts {"node": "'"$SLURMD_NODENAME"'", "missing": "'"$1"'"}'
"""
MIN_SHARED_MEMORY_MIB = 64  # what container engines give where nobody asks for more, too little for loaders


@dataclass(frozen=True)
class NodeReport:
    """facts: of the nodes that answered, in the order of the allocation. problems, warnings: sentences for a person."""

    facts: tuple[NodeFacts, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def output_of(command: Sequence[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout


def look_at_nodes(
    allocation: Allocation, manifest: Path, scratch_dir: Path, port: int = 0,
    output_of: Callable[[Sequence[str]], str] = output_of,
) -> NodeReport:  # fmt: skip
    """Ask every node. scratch_dir: on the disk that all nodes should share. port: 0 for any, see `NodeFacts`."""
    scratch_dir.mkdir(parents=True, exist_ok=True)
    token, token_file = uuid.uuid4().hex, scratch_dir / f"token-{allocation.job_id}"
    token_file.write_text(token)
    arguments = ["--manifest", str(manifest), "--token-file", str(token_file.resolve()), "--port", str(port)]
    command = allocation.srun("bash", "-c", _ASK, "ask", str(Path.cwd()), *arguments)
    try:
        output = output_of(command)
    finally:
        token_file.unlink()
    facts = sorted(_answers(output), key=lambda one: allocation.nodes.index(one.node))
    return judge(allocation.nodes, facts, token, port)


def _answers(output: str) -> list[NodeFacts]:
    found = []
    for line in output.splitlines():
        if line.startswith(LINE_MARK):
            try:
                found.append(NodeFacts.model_validate(json.loads(line.removeprefix(LINE_MARK))))
            except (ValueError, ValidationError) as exc:
                raise SlurmError(f"a node answered what cannot be read: {line}") from exc
    return found


def judge(nodes: Sequence[str], facts: Sequence[NodeFacts], token: str, port: int) -> NodeReport:
    """Compare what nodes answered with what was asked for and with each other."""
    problems: list[str] = []
    silent = [node for node in nodes if node not in {one.node for one in facts}]
    if silent:
        problems.append(f"{', '.join(silent)}: no answer, see the messages of srun above; drain or exclude the node")
    there = [one for one in facts if one.missing is None]
    for one in facts:
        problems += _problems_of(one, token)
    problems += _odd(
        there, "environment", lambda one: one.environment_sha256[:12], "install the same lock on all nodes"
    )
    problems += _odd(there, "Python", lambda one: one.python, "use one interpreter on all nodes")
    problems += _odd(there, "commit", lambda one: one.git_commit[:12] or "none", "use one checkout on the shared disk")
    problems += _odd(there, "number of GPUs", lambda one: str(one.gpus_visible), "ask for the same --gres on all nodes")
    if there and there[0].node == nodes[0] and not there[0].wanted_port_is_free:
        problems.append(
            f"{nodes[0]}: port {port} is taken by another process; leave --port out and a free one is taken"
        )
    warnings = [
        f"{one.node}: {one.shared_memory_mib} MiB of shared memory; loading pictures with --workers needs more"
        for one in there
        if one.shared_memory_mib <= MIN_SHARED_MEMORY_MIB
    ]
    if there and there[0].unlocked:
        warnings.append(f"packages that are not as locked: {'; '.join(there[0].unlocked)}")
    return NodeReport(tuple(facts), tuple(problems), tuple(warnings))


def _problems_of(one: NodeFacts, token: str) -> list[str]:
    if one.missing is not None:
        return [f"{one.node}: {one.missing} or its .venv is not there: is the shared disk mounted?"]
    problems = []
    if one.token != token:
        problems.append(f"{one.node}: does not see what the job wrote: the folder there is not on the shared disk")
    if one.unreadable:
        problems.append(f"{one.node}: cannot read the data: {'; '.join(one.unreadable[:3])}")
    if one.gpus_given is not None and one.gpus_visible != one.gpus_given:
        problems.append(
            f"{one.node}: Slurm gives {one.gpus_given} GPU(s), {one.gpus_visible} can be used: {one.gpus_visible or 1} "
            f"process(es) would run where there should be {one.gpus_given}; look at CUDA_VISIBLE_DEVICES and the driver"
        )
    return problems


def _odd(facts: Sequence[NodeFacts], what: str, value_of: Callable[[NodeFacts], str], advice: str) -> list[str]:
    """Name the nodes that differ from most."""
    values = {one.node: value_of(one) for one in facts}
    if len(set(values.values())) < 2:
        return []
    usual = Counter(values.values()).most_common(1)[0][0]
    odd = [f"{node} has {value}" for node, value in values.items() if value != usual]
    return [f"{what} differs: {', '.join(odd)}, the others have {usual}; {advice}"]


def meeting_point(allocation: Allocation, report: NodeReport, port: int) -> str:
    """Return host:port of the first node. port: 0 takes one that was free there a moment ago."""
    return f"{node_address(allocation.nodes[0])}:{port or report.facts[0].free_port}"
