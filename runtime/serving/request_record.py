"""What is known of one request: where its time went, how large its batch was, why it was refused.

`RequestRecordMiddleware` starts a record for every request, sends it as `Server-Timing` and writes it as one line of
JSON to standard output. It stands outside `ErrorBodyMiddleware`, whose request id it reads from the answer.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID_HEADER = "x-request-id"
CLIENT_GONE = "client_gone"
# What monitoring asks every few seconds; BentoML's access log passes these over, too.
QUIET_PATHS = frozenset({"/metrics", "/healthz", "/livez", "/readyz"})
_MAX_PATH = 200  # characters of a path that are logged
_STAGES = ("read", "decode", "queue", "inference", "detect", "crop", "classify", "mask", "encode", "total")

logger = logging.getLogger("vision.request")
_current: ContextVar["RequestRecord"] = ContextVar("vision_request_record")


@dataclass(eq=False)
class RequestRecord:
    """One request; times in seconds, None where the request did not come that far.

    `read_s` is from the request's first line to the last byte of its body; `decode_s` to pixels in the model's size;
    `queue_s` to the start of its first batch; `inference_s` to the end of its last; `encode_s` is what outlining and
    drawing took, or writing a pipeline's answer; `total_s` is from the request's first line to the answer's. The
    deadline counts from the end of `read_s`. A pipeline has `detect_s` in place of `inference_s`, and then what the
    slowest picture took for each stage: `crop_s`, `classify_s` and, beside these, `mask_s`.
    """

    scope: Scope
    receive: Receive
    started_at: float = field(default_factory=time.perf_counter)
    received_at: float | None = None
    on_received: Callable[[], None] | None = None
    num_images: int | None = None
    num_tiles: int | None = None
    batch_images: int | None = None
    refusal: str | None = None
    read_s: float | None = None
    decode_s: float | None = None
    queue_s: float | None = None
    inference_s: float | None = None
    detect_s: float | None = None
    crop_s: float | None = None
    classify_s: float | None = None
    mask_s: float | None = None
    encode_s: float | None = None
    total_s: float | None = None

    def decoded(self, num_images: int, num_tiles: int | None = None) -> None:
        """Note that all images are pixels now. num_tiles: of all of them together, where they were cut."""
        self.num_images, self.num_tiles = num_images, num_tiles
        self.decode_s = time.perf_counter() - (self.received_at or self.started_at)

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Add what the block takes to `encode_s`."""
        began_at = time.perf_counter()
        yield
        self.encode_s = (self.encode_s or 0.0) + time.perf_counter() - began_at

    def server_timing(self) -> str:
        """Return the header's value, milliseconds: https://www.w3.org/TR/server-timing/."""
        times = ((stage, getattr(self, f"{stage}_s")) for stage in _STAGES)
        return ", ".join(f"{stage};dur={seconds * 1e3:.2f}" for stage, seconds in times if seconds is not None)

    def to_json(self, status: int, request_id: str) -> str:
        """Return the log line."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": "request",
            "request_id": request_id,
            "method": self.scope["method"],
            "path": self.scope["path"][:_MAX_PATH],
            "status": status,
            "refusal": self.refusal,
            "images": self.num_images,
            "tiles": self.num_tiles,
            "batch_images": self.batch_images,
        }
        for stage in _STAGES:
            seconds = getattr(self, f"{stage}_s")
            line[f"{stage}_ms"] = None if seconds is None else round(seconds * 1e3, 2)
        return json.dumps(line)


def current_record() -> RequestRecord:
    """The record of the request that is served right now. Raises LookupError outside of one."""
    return _current.get()


def log_to_stdout() -> None:
    """Write the lines as they are, without the prefix of BentoML's own log. Safe to call twice."""
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


class RequestRecordMiddleware:
    """Pure ASGI: keeps the record of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        record = RequestRecord(scope, receive)
        status, request_id = 0, ""

        async def receive_noting_the_end() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body") and record.received_at is None:
                record.received_at = time.perf_counter()
                record.read_s = record.received_at - record.started_at
                if record.on_received:
                    record.on_received()
            return message

        async def send_with_timing(message: Message) -> None:
            nonlocal status, request_id
            if message["type"] == "http.response.start":
                record.total_s = time.perf_counter() - record.started_at
                status, request_id = message["status"], Headers(raw=message["headers"]).get(REQUEST_ID_HEADER, "")
                MutableHeaders(raw=message["headers"])["server-timing"] = record.server_timing()
            await send(message)

        token = _current.set(record)
        try:
            await self.app(scope, receive_noting_the_end, send_with_timing)
        finally:
            _current.reset(token)
            if scope["path"] not in QUIET_PATHS:
                logger.info("%s", record.to_json(499 if record.refusal == CLIENT_GONE else status, request_id))
