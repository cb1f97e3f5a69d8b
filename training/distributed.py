"""One process or many: who am I, and how results come together.

Works under torchrun with any number of processes (gloo on CPU, nccl on GPU) and without it as a single process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Worker:
    """This process's place among the others and its device."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """Concatenate every process's `(n_i, ...)` tensor along the first axis, on the CPU; the `n_i` may differ."""
        local = tensor.detach().cpu()
        if self.world_size == 1:
            return local
        parts: list[torch.Tensor | None] = [None] * self.world_size
        dist.all_gather_object(parts, local)
        return torch.cat([part for part in parts if part is not None])

    def broadcast(self, value: str) -> str:
        """Return the main process's value in every process; also a barrier."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def single_worker() -> Worker:
    """Return a worker that joins nobody, whatever torchrun announces."""
    return Worker(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def worker() -> Iterator[Worker]:
    """Join the process group that torchrun announces, if any, and leave it at the end."""
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    else:
        # torchrun sets OMP_NUM_THREADS to 1 where nobody set it, which would leave cores idle.
        local_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // local_processes))
    if world_size > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Worker(rank, world_size, device)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
