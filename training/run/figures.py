"""What an epoch of training costs and brings: loss, gradient norm, images/s, share of time spent waiting for data."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch

from training.process.distributed import Worker
from training.records.textfile import Utilisation


class HasImages(Protocol):
    """A batch of anything: `images` has one row a picture."""

    @property
    def images(self) -> torch.Tensor: ...


AnyBatch = TypeVar("AnyBatch", bound=HasImages)


@dataclass
class _Scalars:
    """One number a step. restored: of a saved run, on the CPU. added: since then, wherever they were computed."""

    restored: list[float] = field(default_factory=list)
    added: list[torch.Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.restored) + len(self.added)

    def joined(self) -> torch.Tensor:
        """Return `(steps,)` float32 on the CPU; a GPU is read from once."""
        restored = torch.tensor(self.restored, dtype=torch.float32)
        return torch.cat([restored, torch.stack(self.added).float().cpu()]) if self.added else restored


class EpochFigures:
    """Collects one process's steps; on a GPU nothing is read back before the epoch's end."""

    def __init__(self) -> None:
        self._losses, self._norms = _Scalars(), _Scalars()
        self._rates: list[float] = []
        self._num_images = 0
        self._wait_s = 0.0
        self._total_s = 0.0
        self._utilisation = Utilisation.from_environment()

    @property
    def num_steps(self) -> int:
        return len(self._losses)

    def timed(self, batches: Iterable[AnyBatch]) -> Iterator[AnyBatch]:
        """Pass batches on; the clock runs for them and what is done with each."""
        iterator = iter(batches)
        while True:
            start = time.perf_counter()
            batch = next(iterator, None)
            got = time.perf_counter()
            if batch is None:
                return
            yield batch
            took_s = time.perf_counter() - start
            self._wait_s += got - start
            self._total_s += took_s
            if self._utilisation:
                self._utilisation.record(len(batch.images), got - start, took_s)

    def add(self, loss: torch.Tensor, norm: torch.Tensor, lr: float, num_images: int) -> None:
        """Take a step's mean loss and gradient norm, both scalars, its rate and this process's number of pictures."""
        self._losses.added.append(loss.detach())
        self._norms.added.append(norm.detach())
        self._rates.append(lr)
        self._num_images += num_images

    def state(self) -> dict[str, Any]:
        """Return what has been collected, to go on with after `restore`."""
        losses, norms = self._losses.joined().tolist(), self._norms.joined().tolist()
        sums = [self._num_images, self._wait_s, self._total_s]
        return {"losses": losses, "norms": norms, "rates": self._rates, "sums": sums}

    def restore(self, state: dict[str, Any]) -> None:
        self._losses, self._norms = _Scalars(list(state["losses"])), _Scalars(list(state["norms"]))
        self._rates = list(state["rates"])
        self._num_images, self._wait_s, self._total_s = state["sums"]

    def steps(self, worker: Worker) -> list[dict[str, float]]:
        """Return each step's loss over all processes, gradient norm and rate."""
        losses = worker.gather(self._losses.joined()).view(worker.world_size, -1).mean(dim=0)
        columns = zip(losses.tolist(), self._norms.joined().tolist(), self._rates, strict=True)
        return [{"step_loss": loss, "step_grad_norm": norm, "step_lr": lr} for loss, norm, lr in columns]

    def summary(self, worker: Worker) -> dict[str, float]:
        """Return the epoch's figures over all processes: loss, norm and wait averaged, images/s of all together."""
        losses = worker.gather(self._losses.joined())
        norms = self._norms.joined()
        times = worker.gather(torch.tensor([[self._num_images, self._wait_s, self._total_s]], dtype=torch.float64))
        num_images, wait_s, total_s = times.sum(dim=0).tolist()
        # A step that fp16's scaler skipped has an infinite norm.
        finite = norms[norms.isfinite()]
        return {
            "train_loss": float(losses.mean()),
            "lr": self._rates[-1],
            "grad_norm": float(finite.mean()) if len(finite) else float("nan"),
            "images_per_s": num_images * len(times) / max(total_s, 1e-9),
            "data_wait_share": wait_s / max(total_s, 1e-9),
        }
