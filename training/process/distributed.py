"""One process or many: who am I, and how results come together.

Works under torchrun with any number of processes (gloo on CPU, nccl on GPU) and without it as a single process.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from runtime.model.cores import usable_cores

T = TypeVar("T")
_EXPLAINED = "explained"


@dataclass(frozen=True)
class Worker:
    """This process's place among the others and its device."""

    rank: int
    world_size: int
    device: torch.device
    store: PrefixStore | None = None  # of all processes, if there are several

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

    def gather_objects(self, value: T) -> list[T]:
        """Return every process's value, in order of rank, in every process."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: T) -> T:
        """Return the main process's value in every process; also a barrier."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; over gloo, so that a GPU is not waited for."""
        if self.world_size == 1:
            return flag
        box = torch.tensor([int(flag)])
        dist.all_reduce(box, dist.ReduceOp.MAX)
        return bool(box.item())

    def is_first_to_explain(self, error: str) -> bool:
        """Note that the run ends by an error, and return whether no other process has noted the same one.

        Waits for nobody: the others may wait for this process, and may be gone.
        """
        if self.store is None:
            return True
        try:
            self.store.add(_EXPLAINED, 1)
            return int(self.store.add(hashlib.sha256(error.encode()).hexdigest(), 1)) == 1
        except RuntimeError:  # the store went with the process that kept it; said twice is better than never
            return True

    def has_explained(self) -> bool:
        """Whether any process has noted an error."""
        try:
            return self.store is not None and int(self.store.add(_EXPLAINED, 0)) > 0
        except RuntimeError:
            return False


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
    elif "OMP_NUM_THREADS" not in os.environ:  # else PyTorch has taken it, also torchrun's 1 for several processes
        torch.set_num_threads(max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    store = _join(device) if world_size > 1 else None
    try:
        yield Worker(rank, world_size, device, store)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _join(device: torch.device) -> PrefixStore:
    """Join the process group, and return its store. Values on the CPU go over gloo, also where gradients go over nccl.

    torchrun's agent keeps its store when it restarts killed workers. Without a prefix for each attempt they would read
    the dead ones' addresses there, and wait for them.
    """
    store, rank, world_size = next(rendezvous("env://"))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    prefixed = PrefixStore(f"attempt-{attempt}", store)
    dist.init_process_group(backend, store=prefixed, rank=rank, world_size=world_size)
    return PrefixStore("bento-vision", prefixed)
