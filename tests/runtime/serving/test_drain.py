"""A worker that is asked to end answers what it accepted, within a bound, and says at once that it is not ready."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.serving.prometheus.metrics_folder import FOLDER_VARIABLE
from runtime.serving.shutdown.listening import _drop_attempts, _num_waiting
from runtime.serving.shutdown.marker import is_stopping, mark_stopping
from tests.service.waiting import PATIENCE_S, wait_for

# Answers `POST` when the body is there, and everything else with how far the drain has come.
WORKER = """
import socket, sys, uvicorn
from runtime.serving.shutdown.drain import Drain, DrainMiddleware

drain = Drain(float(sys.argv[1]), float(sys.argv[2]))

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    while scope["method"] == "POST" and (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": f"{drain.is_draining:d}{drain.is_refusing:d}".encode()})

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(DrainMiddleware(app, drain), log_config=None)).run(sockets=[listening])
"""


@contextmanager
def worker(grace_s: float, timeout_s: float) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-c", WORKER, str(grace_s), str(timeout_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = int(process.stdout.readline())
            wait_for(lambda: ask(port).endswith(b"00"), "an answer")
            yield process, port
        finally:
            process.kill()


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """All that still comes, until the other side closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def begin_upload(port: int) -> socket.socket:
    """Send a request without the last byte of its body."""
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
    return connection


def test_an_accepted_request_is_answered_and_its_connection_closed() -> None:
    with worker(grace_s=0, timeout_s=PATIENCE_S) as (process, port), begin_upload(port) as upload:
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: ask(port).endswith(b"11"), "the drain")  # it still accepts, to say that it refuses
        upload.sendall(b"b")
        answer = rest(upload)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in answer
        assert process.wait(PATIENCE_S) == -signal.SIGTERM


def test_in_the_grace_all_goes_on_and_ctrl_c_cuts_it_short() -> None:
    with worker(grace_s=10 * PATIENCE_S, timeout_s=PATIENCE_S) as (process, port):
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: ask(port).endswith(b"10"), "the drain")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == -signal.SIGINT, "what ended it was Ctrl-C, and no end of the grace"


def test_what_is_not_answered_in_time_is_dropped() -> None:
    with worker(grace_s=0, timeout_s=0.2) as (process, port), begin_upload(port) as upload:
        process.send_signal(signal.SIGTERM)
        assert rest(upload) == b""
        _, complaint = process.communicate(timeout=PATIENCE_S)
        assert "dropping 1 requests that have no answer after 0.2 s" in complaint


def test_server_ends_also_where_its_workers_cannot_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert not is_stopping()
    mark_stopping()
    assert is_stopping()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "gone"))
    mark_stopping()
    assert not is_stopping()


def test_who_connects_while_the_socket_is_closed_is_unheard_and_who_did_before_is_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with socket.create_connection(address), socket.create_connection(address), socket.socket() as late:
            assert _num_waiting(listening) == 2
            accepted, _ = listening.accept()
            accepted.close()
            _drop_attempts(listening)
            late.settimeout(0.1)
            with pytest.raises(TimeoutError):
                late.connect(address)
            assert _num_waiting(listening) == 1
