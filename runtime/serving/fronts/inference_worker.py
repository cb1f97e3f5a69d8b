"""One inference worker: a BentoML service of its own, behind fronts, that batches over all of them, for every model.

BentoML starts it, gives it a unix socket and restarts it when it dies; what answers there is `InferenceApp`.
"""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from _bentoml_sdk import Service
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.answers.outputs import Row, stack_rows
from runtime.answers.refusals import RequestRefused
from runtime.model.image import ImageArray
from runtime.serving.batching import Batcher
from runtime.serving.bentoml_app import socket_path_of
from runtime.serving.disconnect import ClientGoneError, unless_disconnected
from runtime.serving.fronts.inference_client import unavailable
from runtime.serving.fronts.inference_wire import (
    BACKGROUND_HEADER,
    CODE_HEADER,
    DEADLINE_HEADER,
    MODEL_HEADER,
    MODEL_PATH,
    RETRY_HEADER,
    InferenceReply,
    LoadPage,
    load_page_path,
)
from runtime.serving.prometheus.metrics_folder import forget_dead_processes, use_metrics_folder
from runtime.serving.request_batching import local_batcher
from runtime.serving.served_model import ServedModel, SessionThreads, load_served_models

logger = logging.getLogger("vision.inference")


class InferenceService(Service):  # type: ignore[misc]  # BentoML's SDK package carries no types
    """The service behind the fronts that computes on CUDA device `device_index`, or on the CPU without one."""

    def __init__(self, device_index: int) -> None:
        super().__init__(name=f"vision-inference-{device_index}")
        self.device_index = device_index

    def to_asgi(self, is_main: bool = False) -> ASGIApp:  # noqa: ARG002 - as BentoML calls it
        use_metrics_folder()
        return InferenceApp(
            lambda: load_served_models(self.bento, device_index=self.device_index).values(), socket_path_of(self.name)
        )


@dataclass(frozen=True)
class _Desk:
    """One model, with its queue and a thread for each of its sessions."""

    served: ServedModel
    batcher: Batcher[ImageArray, Row]
    threads: SessionThreads

    @classmethod
    def open(cls, served: ServedModel, socket_path: Path) -> Self:
        page = LoadPage.create(load_page_path(socket_path, served.identity.sha256))
        batcher: Batcher[ImageArray, Row] = local_batcher(served)
        count_queued = batcher.on_queue

        def publish(num_images: int) -> None:
            count_queued(num_images)
            page.write(num_images, batcher.expected_wait_s)

        batcher.on_queue = publish
        return cls(served, batcher, SessionThreads(served))

    async def close(self) -> None:
        await self.batcher.close()
        self.threads.close()


class InferenceApp:
    """Pure ASGI. load: called once, at start. socket_path: beside it are the pages that tell fronts of the queues."""

    def __init__(self, load: Callable[[], Iterable[ServedModel]], socket_path: Path) -> None:
        self._load = load
        self._socket_path = socket_path
        self._desks: dict[str, _Desk] = {}  # by the SHA-256 of the model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == MODEL_PATH:
            await PlainTextResponse("\n".join(self._desks))(scope, receive, send)
        else:
            try:
                response = await self._answer(scope, receive)
            except (ClientGoneError, ClientDisconnect):
                return
            except RequestRefused as refusal:
                response = _refusal(refusal)
            await response(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        # Ctrl-C reaches every process of a terminal, and fronts still need this one. Their first process ends it.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            await asyncio.to_thread(self._start)
        except Exception as exc:
            logger.exception("the inference worker cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.gather(*(desk.close() for desk in self._desks.values()))
        await send({"type": "lifespan.shutdown.complete"})

    def _start(self) -> None:
        models = list(self._load())
        forget_dead_processes()
        self._desks = {served.identity.sha256: _Desk.open(served, self._socket_path) for served in models}

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        headers = Headers(scope=scope)
        body = await Request(scope, receive).body()
        desk = self._desks.get(headers[MODEL_HEADER])
        if desk is None:
            raise unavailable(f"the inference worker serves {', '.join(sha256[:12] for sha256 in self._desks)}")
        contract = desk.served.contract
        images = np.frombuffer(body, np.uint8).reshape(-1, contract.height, contract.width, 3)
        left_s = float(headers[DEADLINE_HEADER]) - time.monotonic()
        work = desk.batcher.submit(images, desk.threads.compute, left_s, headers.get(BACKGROUND_HEADER) == "1")
        outcome = await unless_disconnected(work, receive)
        outputs = stack_rows(outcome.answers)
        return Response(InferenceReply(outputs, outcome.wait_s, outcome.inference_s, outcome.batch_images).to_bytes())


def _refusal(refusal: RequestRefused) -> Response:
    headers = {CODE_HEADER: refusal.code.value}
    if refusal.retry_after_s is not None:
        headers[RETRY_HEADER] = str(refusal.retry_after_s)
    return PlainTextResponse(str(refusal), refusal.status, headers)
