"""A real HTTP server whose behaviour is known: so long an answer takes, so many at once, these statuses in turn."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load.load import Load

CLOSE, SILENCE = "close", "silence"  # instead of a status: close the connection, never answer


@dataclass
class KnownServer:
    """concurrency: answers worked on at once. stall: (seconds from the first request, seconds) in which all waits."""

    latency_s: float = 0.0
    concurrency: int = 1000
    outcomes: Sequence[str] = ("200",)
    stall: tuple[float, float] | None = None
    port: int = 0
    given: list[str] = field(default_factory=list)
    _first_s: float = 0.0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
                async with self._working:
                    outcome = next(self._next_outcome)
                    await asyncio.sleep(self._pause_s())
                self.given.append(outcome)
                if outcome == SILENCE:
                    await asyncio.sleep(60)
                if outcome == CLOSE:
                    return
                writer.write(f"HTTP/1.1 {outcome} Known\r\nContent-Length: 2\r\n\r\nok".encode())
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _pause_s(self) -> float:
        now = time.perf_counter()
        self._first_s = self._first_s or now
        if self.stall is None:
            return self.latency_s
        begin_s, length_s = self._first_s + self.stall[0], self.stall[1]
        return self.latency_s + (begin_s + length_s - now if begin_s <= now < begin_s + length_s else 0.0)

    async def _run(self, started: threading.Event, stop: asyncio.Event) -> None:
        self._working = asyncio.Semaphore(self.concurrency)
        self._next_outcome = itertools.cycle(self.outcomes)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        handlers = asyncio.all_tasks() - {asyncio.current_task()}
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await asyncio.sleep(0.01)  # until closed transports are gone


@contextmanager
def serving(server: KnownServer) -> Iterator[KnownServer]:
    """Run it in a thread with a loop of its own."""
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server._run(started, stop)))
    thread.start()
    try:
        assert started.wait(100)
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def load_for(server: KnownServer, folder: Path, **fields: float | str) -> Load:
    """Return a load on the server, of one second unless told otherwise."""
    path = folder / "request.http"
    path.write_bytes(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
    return Load("127.0.0.1", server.port, str(path), **{"duration_s": 1.0, "ramp_s": 0.1, **fields})  # type: ignore[arg-type]
