"""What the processes of a run find out together before they train: `torchrun ... -m training.rank_check --out FILE`.

Every process names its device and machine, all add up a tensor of known content, and the time for large ones gives the
bandwidth of all-reduce. The first process writes what was found; `slurm.doctor` judges it.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

from project.command import command
from training.process.distributed import Worker, worker
from training.process.rank_report import RankFacts, RankReport

SIZES_MIB = (1, 16, 64)  # of one tensor: latency counts in the first, the wire alone in the last
NUM_ROUNDS = 3


def check(this: Worker) -> RankReport:
    """Run the checks; every process calls this and gets the same report."""
    mine = RankFacts(
        rank=this.rank,
        node=os.environ.get("SLURMD_NODENAME", os.uname().nodename),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        device=str(torch.cuda.get_device_properties(this.device).uuid) if this.device.type == "cuda" else "",
    )
    if this.world_size == 1:
        return RankReport(world_size=1, backend="none", ranks=(mine,), sum_is_right=True, bandwidth_mib_s={})
    found: list[RankFacts | None] = [None] * this.world_size
    dist.all_gather_object(found, mine)
    tensor = torch.full((1000,), float(this.rank + 1), device=this.device)
    dist.all_reduce(tensor)
    is_right = torch.tensor([float((tensor == this.world_size * (this.world_size + 1) / 2).all())], device=this.device)
    dist.all_reduce(is_right, op=dist.ReduceOp.MIN)
    return RankReport(
        world_size=this.world_size,
        backend=dist.get_backend(),
        ranks=tuple(facts for facts in found if facts is not None),
        sum_is_right=bool(is_right.item()),
        bandwidth_mib_s={size: _bandwidth(size, this) for size in SIZES_MIB},
    )


def _bandwidth(size_mib: int, this: Worker) -> float:
    tensor = torch.zeros(size_mib * 2**18, device=this.device)  # float32
    best_s = float("inf")
    for _ in range(NUM_ROUNDS):
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(tensor)
        if this.device.type == "cuda":
            torch.cuda.synchronize(this.device)
        best_s = min(best_s, time.perf_counter() - start)
    return round(2 * (this.world_size - 1) / this.world_size * size_mib / best_s, 1)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True)


@command(_arguments, logs_to="nothing")
def main(arguments: argparse.Namespace) -> None:
    with worker() as this:
        report = check(this)
    if this.is_main:
        arguments.out.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
