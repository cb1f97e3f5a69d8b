"""What front workers and inference workers say to each other, over the socket that BentoML gives an inference worker.

It is HTTP, so that uvicorn frames it, notices who goes away and stops gracefully, but bodies are raw arrays: BentoML's
own way between services pickles or encodes them, and knows neither our deadline nor our queue. How full a worker's
queue is stands in a page of memory beside its socket, so that a front can refuse before it decodes.
"""

import math
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from runtime.model.contract import Outputs, OutputSpec

INFER_PATH, MODEL_PATH = "/infer", "/model"
DEADLINE_HEADER = "x-deadline"  # seconds on CLOCK_MONOTONIC, which all processes of a machine share
BACKGROUND_HEADER = "x-background"  # 1 where nobody waits
CODE_HEADER, RETRY_HEADER = "x-code", "retry-after"  # of a refusal
MODEL_HEADER = "x-model"  # SHA-256 of the ONNX file that the front's contract belongs to: one of the worker's models
_TIMES = struct.Struct("<ddI")  # wait_s, inference_s, batch_images
_LOAD = struct.Struct("<dd")  # queued images, expected wait in seconds


@dataclass(frozen=True)
class InferenceReply:
    """The outputs of a request's images, each `(N, ...)` in the contract's order, with an `Outcome`'s times."""

    outputs: Outputs
    wait_s: float
    inference_s: float
    batch_images: int

    def to_bytes(self) -> bytes:
        times = _TIMES.pack(self.wait_s, self.inference_s, self.batch_images)
        return times + b"".join(output.tobytes() for output in self.outputs.values())

    @classmethod
    def from_bytes(cls, data: bytes, specs: Mapping[str, OutputSpec]) -> Self:
        """Read a reply. specs: the contract's `outputs`. Raises ValueError if it does not hold whole rows."""
        sizes = [math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs.values()]
        num_images, rest = divmod(len(data) - _TIMES.size, sum(sizes))
        if rest:
            raise ValueError(f"{len(data) - _TIMES.size} bytes are no whole rows of {sum(sizes)}")
        outputs, start = {}, _TIMES.size
        for (name, spec), size in zip(specs.items(), sizes, strict=True):
            part = np.frombuffer(data, spec.dtype, num_images * math.prod(spec.shape), start)
            outputs[name] = part.reshape(num_images, *spec.shape)
            start += num_images * size
        return cls(outputs, *_TIMES.unpack_from(data))


class LoadPage:
    """How full one inference worker's queue for one model is; written by the worker, read by every front.

    Two aligned numbers, each of which is written at once; a front that reads between them is wrong by one request.
    """

    def __init__(self, page: mmap.mmap) -> None:
        self._page = page

    @classmethod
    def create(cls, path: Path) -> Self:
        """Begin anew, as an idle worker's. A front that has the page of the worker before keeps seeing it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, _LOAD.size)
            page = cls(mmap.mmap(descriptor, _LOAD.size))
        finally:
            os.close(descriptor)
        page.write(0, 0.0)
        return page

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises OSError if the worker has not begun it."""
        with path.open("rb") as file:
            return cls(mmap.mmap(file.fileno(), _LOAD.size, prot=mmap.PROT_READ))

    def write(self, queued_images: int, expected_wait_s: float) -> None:
        _LOAD.pack_into(self._page, 0, queued_images, expected_wait_s)

    def read(self) -> tuple[int, float]:
        """Return queued images and the seconds that an image that comes now would wait."""
        queued_images, expected_wait_s = _LOAD.unpack_from(self._page)
        return int(queued_images), expected_wait_s


def load_page_path(socket_path: Path, sha256: str) -> Path:
    """Return where the page of a worker's queue for the model with this SHA-256 is."""
    return socket_path.with_suffix(f".{sha256[:16]}.load")  # BentoML removes the folder when it stops
