"""A front worker's batcher: it has no session, and hands images to the inference worker that has least to do."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from runtime.answers.outputs import Row, to_rows
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.model.image import ImageArray
from runtime.serving.batching import TOO_LATE, refuse_if
from runtime.serving.bentoml_app import socket_path_of
from runtime.serving.fronts.inference_client import InferenceWorker, Reply, unavailable
from runtime.serving.fronts.inference_wire import CODE_HEADER, RETRY_HEADER, InferenceReply
from runtime.serving.served_model import ServedModel
from runtime.serving.turn_queue import Outcome

START_TIMEOUT_S = 120.0
DEAD_AFTER_S = 120.0  # where BentoML restarts workers it takes seconds; inside a container it leaves that to others


@dataclass(eq=False)
class FrontBatcher:
    """In place of a `Batcher`, with the same rules; the queue, its bound and the deadline are the workers' own.

    The bound on images that wait is each inference worker's. num_arriving: requests that this front is decoding.
    """

    served: ServedModel
    workers: list[InferenceWorker]
    num_arriving: int = 0
    _watchers: list[asyncio.Task[None]] = field(default_factory=list)
    _is_closed: bool = False

    @classmethod
    def of(cls, served: ServedModel, names: Sequence[str]) -> Self:
        """names: of the services that are inference workers."""
        workers = [InferenceWorker(socket_path_of(name), served.identity.sha256) for name in names]
        return cls(served, workers)

    @property
    def has_free_session(self) -> bool:
        """A front does not know; no request is taken for one that runs to its end anyway."""
        return False

    @property
    def is_ready(self) -> bool:
        return any(worker.is_up for worker in self.workers)

    @property
    def is_alive(self) -> bool:
        """False if no inference worker has been there for so long that nobody seems to restart it."""
        return self.is_ready or time.monotonic() - max(w.down_since for w in self.workers) < DEAD_AFTER_S

    async def start(self) -> None:
        """Wait until an inference worker is there, for a time. Must be called once, on the loop that serves."""
        self._watchers = [asyncio.create_task(worker.watch()) for worker in self.workers]
        begin_s = time.monotonic()
        while not self.is_ready and time.monotonic() - begin_s < START_TIMEOUT_S:
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Refuse what comes. Safe to call twice."""
        self._is_closed = True
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    def refuse_if_full(self, deadline_s: float) -> None:
        """As `Batcher.refuse_if_full`; of the requests that are being decoded it sees those of this front."""
        queued_images, wait_s = self._choose().load
        most = self.served.settings.max_queued_images
        refuse_if(queued_images + self.num_arriving >= most, queued_images, most, wait_s, deadline_s)

    async def submit(
        self, images: ImageArray, _function: Callable[..., Any], deadline_s: float, is_background: bool = False
    ) -> Outcome[Row]:
        """As `Batcher.submit`; BentoML's function is not called, because nothing is computed here."""
        if deadline_s <= 0:
            raise RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, TOO_LATE)
        try:
            async with asyncio.timeout(deadline_s):
                until_s = time.monotonic() + deadline_s
                reply = await self._choose().infer(np.ascontiguousarray(images), until_s, is_background)
        except TimeoutError as exc:
            raise RequestRefused(RequestErrorCode.DEADLINE_EXCEEDED, "no answer within the deadline") from exc
        return self._read(reply)

    def _choose(self) -> InferenceWorker:
        up = [worker for worker in self.workers if worker.is_up]
        if self._is_closed or not up:
            raise unavailable("the inference worker is being started again; try again later")
        return up[0] if len(up) == 1 else min(up, key=lambda worker: (worker.load[0], worker.num_in_flight))

    def _read(self, reply: Reply) -> Outcome[Row]:
        if code := reply.headers.get(CODE_HEADER):
            retry_after_s = reply.headers.get(RETRY_HEADER)
            raise RequestRefused(
                RequestErrorCode(code), reply.body.decode(), retry_after_s=int(retry_after_s) if retry_after_s else None
            )
        if reply.status != 200:
            raise RuntimeError(f"the inference worker answered {reply.status}: {reply.body[:200]!r}; see its log")
        output = InferenceReply.from_bytes(reply.body, self.served.contract.outputs)
        return Outcome(to_rows(output.outputs), output.wait_s, output.inference_s, output.batch_images)
