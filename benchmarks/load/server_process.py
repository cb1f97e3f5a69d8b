"""Servers as processes: started from an empty folder, on given cores, their CPU time read, ended to the last child."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
POLL_INTERVAL_S = 0.1
LOG_TAIL_LINES = 30
PORTS = range(10_000, 32_768)  # below those that Linux gives to whoever connects or binds to port 0
NUM_PORTS_TRIED = 100


class ServerFailedError(RuntimeError):
    """A server did not start or did not answer rightly; the message holds the end of its log."""


@dataclass(frozen=True)
class ServerProcess:
    """A running server: a process that leads a session of its own."""

    process: subprocess.Popen[bytes]
    log_path: Path

    def members(self) -> list[psutil.Process]:
        """Return every living process of it: the session's members and all children, also those that left it."""
        found = {p.pid: p for p in psutil.process_iter() if _session_of(p.pid) == self.process.pid}
        with suppress(psutil.NoSuchProcess):
            found |= {p.pid: p for p in psutil.Process(self.process.pid).children(recursive=True)}
        return [p for p in found.values() if _is_alive(p)]

    def cpu_s(self) -> float:
        """CPU time of all members so far, with what their ended children used."""
        total_s = 0.0
        for member in self.members():
            with suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                total_s += times.user + times.system + times.children_user + times.children_system
        return total_s

    def log_since(self, start: int) -> list[str]:
        """Return the log's lines from a place on, in bytes; the last may be cut."""
        with self.log_path.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace").splitlines()

    def log_tail(self) -> str:
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


@contextmanager
def running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], cores: set[int]
) -> Iterator[ServerProcess]:
    """Run `command` in `folder` on `cores`, its output in `folder/server.log`; no process of it is left behind."""
    log_path = folder / "server.log"
    with log_path.open("wb") as log, pinned(cores):
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    server = ServerProcess(process, log_path)
    try:
        yield server
    finally:
        _stop(server)


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Run this thread, and so the children it starts, on `cores` until the block ends."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wait_until_ready(
    server: ServerProcess, port: int, probe: bytes, timeout_s: float = START_TIMEOUT_S,
    check: Callable[[], None] = lambda: None,
) -> bytes:  # fmt: skip
    """Send the whole HTTP request `probe` until it is answered with 200; returns that answer, header and body.

    check: called before each try; what it raises ends the wait.
    Raises ServerFailedError if the process ends or is not ready in time.
    """
    deadline_s = time.monotonic() + timeout_s
    answer = b"no answer"
    while time.monotonic() < deadline_s:
        check()
        if server.process.poll() is not None:
            raise ServerFailedError(
                f"it ended with code {server.process.returncode}; the end of its log:\n{server.log_tail()}"
            )
        try:
            answer = _ask(port, probe, timeout_s=max(1.0, deadline_s - time.monotonic()))
        except OSError as exc:
            answer = str(exc).encode()
        if answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")):
            return answer
        time.sleep(POLL_INTERVAL_S)
    last = answer[:200].decode(errors="replace")
    raise ServerFailedError(f"it is not ready after {timeout_s:.0f} s (last: {last}); its log:\n{server.log_tail()}")


def _ask(port: int, request: bytes, timeout_s: float) -> bytes:
    closing = request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
        connection.sendall(closing)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def free_port() -> int:
    """Return a port of loopback that nobody has, and that nobody gets by chance until a server takes it.

    Raises ServerFailedError if there is none.
    """
    for port in random.SystemRandom().sample(PORTS, NUM_PORTS_TRIED):  # not seeded: processes choose apart
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerFailedError(f"none of {NUM_PORTS_TRIED} ports from {PORTS.start} to {PORTS.stop - 1} is free")


def _stop(server: ServerProcess) -> None:
    """Ask the first process to end, then end by its id whatever is left of what it started."""
    members = server.members()
    with suppress(ProcessLookupError):
        server.process.send_signal(signal.SIGTERM)
    try:
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(STOP_TIMEOUT_S)
    finally:
        left = {p.pid: p for p in [*members, *server.members()] if _is_alive(p)}
        for process in left.values():
            with suppress(psutil.NoSuchProcess):
                process.kill()  # psutil makes sure that the id is still the same process's
        server.process.wait()
        psutil.wait_procs([p for p in left.values() if p.pid != server.process.pid], timeout=1)


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
