"""How near two nodes come to twice one in offline scoring: `python -m benchmarks.scaling --source DIR --model MODEL`.

Inside a Slurm job of two nodes (`salloc --nodes=2`) tasks are started by srun, one a node; elsewhere as processes, each
pinned to a core of its own. One node scores the first half of what two score, so that each node's share is the same;
turns of one and of two alternate, and the median counts. Loading the model is left out, a late start of the second node
is not. Efficiency is the rate of two over twice the rate of one.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from project.command import command
from runtime.model.contract import DEFAULT_MODEL
from runtime.serving.model_reference import ModelUnavailable
from scoring.model_folder import model_folder
from scoring.pictures import ScoringError, list_pictures, root_of
from scoring.plan import write_plan

_TASK = 'exec "$0" -m scoring.score "$1/run" --task "$SLURM_PROCID" --tasks "$2" --timing "$1/timing$SLURM_PROCID.json"'


class ScalingError(RuntimeError):
    """The measurement cannot be made; the message says why."""


def rate_of(num_nodes: int, names: Sequence[str], model_dir: Path, pictures_per_node: int, scratch: Path) -> float:
    """Score `pictures_per_node` on each of the nodes at once; return pictures a second from first start to last end.

    names: absolute paths, taken from the front. Raises ScalingError if a task fails.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    listed = scratch / "list.txt"
    listed.write_text("".join(f"{name}\n" for name in names[: num_nodes * pictures_per_node]), encoding="utf-8")
    write_plan(listed, scratch / "run", str(model_dir), model_dir, pictures_per_node)
    _score(num_nodes, scratch)
    timings = [json.loads((scratch / f"timing{task}.json").read_text()) for task in range(num_nodes)]
    took_s = max(timing["ended"] for timing in timings) - min(timing["started"] for timing in timings)
    return float(sum(timing["num_pictures"] for timing in timings) / took_s)


def _score(num_nodes: int, scratch: Path) -> None:
    task = ["bash", "-c", _TASK, sys.executable, str(scratch), str(num_nodes)]
    if "SLURM_JOB_ID" in os.environ:
        size = [f"--nodes={num_nodes}", f"--ntasks={num_nodes}", "--ntasks-per-node=1"]
        commands = [["srun", "--quiet", *size, *task]]
    else:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < num_nodes:
            raise ScalingError(f"{num_nodes} single-core nodes need {num_nodes} cores, there are {len(cores)}")
        commands = [["taskset", "-c", str(core), *task] for core in cores[:num_nodes]]
    processes = [
        subprocess.Popen(command, env={**os.environ, "SLURM_PROCID": str(number)}, stderr=subprocess.PIPE, text=True)
        for number, command in enumerate(commands)
    ]
    for process in processes:
        _, said = process.communicate()
        if process.returncode:
            raise ScalingError(f"a task ended with status {process.returncode}: {said.strip()[-1000:]}")


def _names(source: Path, number: int) -> list[str]:
    """Return `number` absolute paths; a short list is refused, not repeated: the same file twice would be cached."""
    root = root_of(source)
    names = [str(root / name) for name, _ in zip(list_pictures(source), range(number), strict=False)]
    if len(names) < number:
        raise ScalingError(f"{source} has {len(names)} pictures, {number} are needed; lower --pictures-per-node")
    return names


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--pictures-per-node", type=int, default=500)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks/scaling.json"))


@command(_arguments, known=(ScalingError, ScoringError, ModelUnavailable, OSError))
def main(arguments: argparse.Namespace) -> None:
    rates: dict[int, list[float]] = {1: [], 2: []}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    _, model_dir = model_folder(arguments.model)
    names = _names(arguments.source, 2 * arguments.pictures_per_node)
    with tempfile.TemporaryDirectory(dir=arguments.out.parent) as folder:  # beside the result: nodes must see it
        for _ in range(arguments.turns):
            for nodes, found in rates.items():
                scratch = Path(folder).resolve() / "turn"
                found.append(rate_of(nodes, names, model_dir, arguments.pictures_per_node, scratch))
    one, two = (statistics.median(found) for found in rates.values())
    result = {"rates": rates, "one_node": one, "two_nodes": two, "efficiency": two / (2 * one)}
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(
        f"1 node {one:.1f} pictures/s, 2 nodes {two:.1f} pictures/s: efficiency {two / (2 * one):.0%} "
        f"(medians of {arguments.turns} turns, {arguments.pictures_per_node} pictures a node)\n"
    )


if __name__ == "__main__":
    sys.exit(main())
