"""What an epoch of training costs and brings: loss, gradient norm, images/s, share of time spent waiting for data."""

import time
from collections.abc import Iterable, Iterator

import torch

from training.data import Batch
from training.distributed import Worker
from training.textfile import Utilisation


class EpochMeter:
    """Collects one process's steps; on a GPU nothing is read back before the epoch's end."""

    def __init__(self) -> None:
        self._losses: list[torch.Tensor] = []
        self._norms: list[torch.Tensor] = []
        self._num_images = 0
        self._wait_s = 0.0
        self._total_s = 0.0
        self._utilisation = Utilisation.from_environment()

    @property
    def num_steps(self) -> int:
        return len(self._losses)

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
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
            self._num_images += len(batch.labels)
            if self._utilisation:
                self._utilisation.record(len(batch.labels), got - start, took_s)

    def add(self, loss: torch.Tensor, norm: torch.Tensor) -> None:
        """Take a step's mean loss and gradient norm, both scalars."""
        self._losses.append(loss.detach())
        self._norms.append(norm.detach())

    def summary(self, worker: Worker) -> dict[str, float]:
        """Return the epoch's figures over all processes: loss, norm and wait averaged, images/s of all together."""
        losses = worker.gather(torch.stack(self._losses).float())
        norms = worker.gather(torch.stack(self._norms).float())
        times = worker.gather(torch.tensor([[self._num_images, self._wait_s, self._total_s]], dtype=torch.float64))
        num_images, wait_s, total_s = times.sum(dim=0).tolist()
        # A step that fp16's scaler skipped has an infinite norm.
        finite = norms[norms.isfinite()]
        return {
            "train_loss": float(losses.mean()),
            "grad_norm": float(finite.mean()) if len(finite) else float("nan"),
            "images_per_s": num_images * len(times) / max(total_s, 1e-9),
            "data_wait_share": wait_s / max(total_s, 1e-9),
        }
