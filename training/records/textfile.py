"""Whether every device works, for Prometheus: a file for each process that node exporter's textfile collector reads.

Off unless VISION_TEXTFILE_DIR names the collector's folder. Files are replaced whole: no scrape sees half of one.
"""

import os
import socket
import time
from collections import deque
from pathlib import Path
from typing import Self

import torch
from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

FOLDER_VARIABLE = "VISION_TEXTFILE_DIR"
INTERVAL_S = 5.0  # between writes, below the usual scrape interval of 15 s
WINDOW_S = 30.0  # that rates are over


class Utilisation:
    """One process's gauges: images a second, share of time waiting for data, and what its GPU is used to.

    Rates are over the last `WINDOW_S`, not since the start: a process that has begun to starve must show.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"vision_training_{os.environ.get('SLURM_JOB_ID', '0')}_{_rank()}.prom"
        self._steps: deque[tuple[float, int, float, float]] = deque()  # end, images, wait, whole
        self._written = float("-inf")

    @classmethod
    def from_environment(cls) -> Self | None:
        folder = os.environ.get(FOLDER_VARIABLE)
        return cls(Path(folder)) if folder else None

    def record(self, num_images: int, wait_s: float, total_s: float) -> None:
        """Count one step of `num_images` that took `total_s`, `wait_s` of it for data; write if it is time to."""
        now = time.monotonic()
        self._steps.append((now, num_images, wait_s, total_s))
        while self._steps[0][0] < now - WINDOW_S:
            self._steps.popleft()
        if now - self._written >= INTERVAL_S:
            self.write()
            self._written = now

    def write(self) -> None:
        """Write the file. Raises OSError if the folder is not there or not ours to write."""
        registry = CollectorRegistry()
        names = {"rank": _rank(), "node": _node(), "job": os.environ.get("SLURM_JOB_ID", "")}

        def gauge(name: str, text: str, value: float) -> None:
            Gauge(f"vision_training_{name}", text, list(names), registry=registry).labels(**names).set(value)

        total_s = sum(step[3] for step in self._steps) or 1e-9
        gauge("images_per_second", "Images this process trains on a second", sum(s[1] for s in self._steps) / total_s)
        gauge("data_wait_ratio", "Share of its time it waits for data", sum(s[2] for s in self._steps) / total_s)
        gauge("last_write_seconds", "When this was written, seconds since 1970", time.time())
        if torch.cuda.is_available():
            gauge("gpu_utilisation_ratio", "Share of time the GPU was busy", torch.cuda.utilization() / 100)
        write_to_textfile(str(self._path), registry)


def _rank() -> str:
    return os.environ.get("RANK", "0")


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME", socket.gethostname())
