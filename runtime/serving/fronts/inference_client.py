"""A front worker's side of one inference worker: connections that are kept, and whether it is there at all."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.model.image import ImageArray
from runtime.serving.fronts.inference_wire import (
    BACKGROUND_HEADER,
    DEADLINE_HEADER,
    INFER_PATH,
    MODEL_HEADER,
    MODEL_PATH,
    LoadPage,
    load_page_path,
)

PING_INTERVAL_S = 2.0  # less than the 5 s after which uvicorn closes a connection on which nothing comes
IDLE_LIMIT_S = 3.0  # the same, so that a connection that is taken is not one that is being closed
RECONNECT_PAUSE_S = 0.05
RETRY_AFTER_S = 2  # about what a worker takes to load a model

logger = logging.getLogger("vision.inference")


def unavailable(message: str) -> RequestRefused:
    """Return a refusal because no inference worker is there: it died and has not been started again yet."""
    return RequestRefused(RequestErrorCode.UNAVAILABLE, message, retry_after_s=RETRY_AFTER_S)


@dataclass(frozen=True)
class Reply:
    """One answer: status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, path: Path) -> Self:
        return cls(*await asyncio.open_unix_connection(path))

    async def exchange(self, head: str, body: memoryview | bytes = b"") -> Reply:
        """Raises OSError or EOFError if the other side goes."""
        self.writer.write(f"{head}host: x\r\ncontent-length: {len(body)}\r\n\r\n".encode())
        if body:
            self.writer.write(body)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return Reply(int(lines[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"])))

    async def until_closed(self, timeout_s: float) -> bool:
        """Whether the other side closed within that time; it sends nothing unasked."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.reader.read(1)
                return True
        return False

    def close(self) -> None:
        self.writer.close()


@dataclass(eq=False)
class InferenceWorker:
    """One inference worker as a front sees it for one model. sha256: of that model, which it must have.

    Whether it is there is learnt from a connection that only closes when its process ends, because the socket itself
    belongs to BentoML's first process and accepts connections while nobody is behind it.
    """

    socket_path: Path
    sha256: str
    is_up: bool = False
    num_in_flight: int = 0
    down_since: float = field(default_factory=time.monotonic)
    _page: LoadPage | None = None
    _idle: list[tuple[float, _Connection]] = field(default_factory=list)

    @property
    def load(self) -> tuple[int, float]:
        """Queued images and the seconds that an image that comes now would wait."""
        return self._page.read() if self._page is not None else (0, 0.0)

    async def infer(self, images: ImageArray, deadline_s: float, is_background: bool = False) -> Reply:
        """Send images. deadline_s: on the clock of `time.monotonic`. is_background: nobody waits for the answer.

        Raises RequestRefused if the worker dies.

        A task that is cancelled here closes its connection, and the worker forgets the request. What a dying worker
        had is not sent again: it may be what killed it.
        """
        head = (
            f"POST {INFER_PATH} HTTP/1.1\r\n{DEADLINE_HEADER}: {deadline_s!r}\r\n{MODEL_HEADER}: {self.sha256}\r\n"
            f"{BACKGROUND_HEADER}: {is_background:d}\r\ncontent-type: application/octet-stream\r\n"
        )
        connection = None
        self.num_in_flight += 1
        try:
            connection = self._take_idle() or await _Connection.open(self.socket_path)
            reply = await connection.exchange(head, images.reshape(-1).data)
        except (OSError, EOFError) as exc:
            if connection:
                connection.close()
            raise unavailable("the inference worker ended before it answered; try again later") from exc
        except BaseException:
            if connection:
                connection.close()
            raise
        finally:
            self.num_in_flight -= 1
        self._idle.append((time.monotonic(), connection))
        return reply

    async def watch(self) -> None:
        """Keep `is_up` right until cancelled."""
        try:
            while True:
                with suppress(OSError, EOFError):
                    await self._follow()
                self._note_down()
                await asyncio.sleep(RECONNECT_PAUSE_S)
        finally:
            self._close_idle()

    async def _follow(self) -> None:
        """Return or raise when the worker is gone."""
        connection = await _Connection.open(self.socket_path)
        try:
            while True:
                reply = await connection.exchange(f"GET {MODEL_PATH} HTTP/1.1\r\n")
                if self.sha256 not in reply.body.decode().split():
                    logger.error("the inference worker serves other models than its fronts; restart the service")
                    await asyncio.sleep(RETRY_AFTER_S)
                    return
                if not self.is_up:
                    self._page = LoadPage.open(load_page_path(self.socket_path, self.sha256))
                    self.is_up = True
                if await connection.until_closed(PING_INTERVAL_S):
                    return
                self._close_idle(IDLE_LIMIT_S)
        finally:
            connection.close()

    def _note_down(self) -> None:
        if self.is_up:
            logger.warning("the inference worker at %s is gone", self.socket_path.name)
            self.is_up = False
            self.down_since = time.monotonic()
        self._close_idle()

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < IDLE_LIMIT_S and not connection.reader.at_eof():
                return connection
            connection.close()
        return None

    def _close_idle(self, older_than_s: float = 0.0) -> None:
        now = time.monotonic()
        kept = [(since, connection) for since, connection in self._idle if now - since < older_than_s]
        for entry in self._idle:
            if entry not in kept:
                entry[1].close()
        self._idle = kept
