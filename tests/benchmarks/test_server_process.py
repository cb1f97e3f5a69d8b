"""A server is a tree of processes: all of it is measured and nothing of it is left."""

import os
import socket
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from benchmarks.load import server_process
from benchmarks.load.server_process import ServerFailedError, ServerProcess, free_port, running, wait_until_ready

# A child that ignores SIGTERM, one that leaves the session, and one whose parent is gone: what real servers leave.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)
subprocess.run([sys.executable, "-c", f"import subprocess; subprocess.Popen({sleep!r})"])
signal.signal(signal.SIGTERM, signal.SIG_DFL)
print("ready", flush=True)
time.sleep(60)
"""
BUSY_CHILD = """
import subprocess, sys, time
busy = "import time\\nend = time.monotonic() + 30\\nwhile time.monotonic() < end: pass"
subprocess.Popen([sys.executable, "-c", busy])
time.sleep(60)
"""


def _wait_for_log(server: ServerProcess, text: str) -> None:
    deadline_s = time.monotonic() + 200
    while text not in server.log_path.read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_no_process_is_left_not_even_one_that_ignores_or_leaves(tmp_path: Path) -> None:
    with running([sys.executable, "-c", STUBBORN], tmp_path, os.environ, os.sched_getaffinity(0)) as server:
        _wait_for_log(server, "ready")
        members = server.members()
        assert len(members) == 4
    alive = [p for p in members if psutil.pid_exists(p.pid) and p.status() != psutil.STATUS_ZOMBIE]
    assert alive == []


def test_processes_end_when_the_block_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="broken"),
        running([sys.executable, "-c", BUSY_CHILD], tmp_path, os.environ, os.sched_getaffinity(0)) as server,
    ):
        raise RuntimeError("broken")
    assert server.process.returncode is not None
    assert server.members() == []


def test_cpu_time_of_children_counts_and_children_stay_on_their_cores(tmp_path: Path) -> None:
    core = {min(os.sched_getaffinity(0))}
    with running([sys.executable, "-c", BUSY_CHILD], tmp_path, os.environ, core) as server:
        deadline_s = time.monotonic() + 200
        while len(server.members()) < 2:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        before_s = server.cpu_s()
        while server.cpu_s() - before_s < 0.2:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        assert all(set(member.cpu_affinity()) == core for member in server.members())
    assert os.sched_getaffinity(0) >= core


def test_a_server_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('there is no model')"]
    with (
        running(command, tmp_path, os.environ, os.sched_getaffinity(0)) as server,
        pytest.raises(ServerFailedError, match=r"(?s)ended with code 1.*there is no model"),
    ):
        wait_until_ready(server, free_port(), b"GET / HTTP/1.1\r\n\r\n")


def test_a_server_that_is_not_ready_in_time_is_reported(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        running(command, tmp_path, os.environ, os.sched_getaffinity(0)) as server,
        pytest.raises(ServerFailedError, match=r"not ready after 0 s .*refused"),
    ):
        wait_until_ready(server, free_port(), b"GET / HTTP/1.1\r\n\r\n", timeout_s=0.3)


def test_free_port_is_one_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    assert port in server_process.PORTS
    monkeypatch.setattr(server_process, "PORTS", range(port, port + 1))
    monkeypatch.setattr(server_process, "NUM_PORTS_TRIED", 1)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ServerFailedError, match=f"{port} is free"):
        free_port()
    assert free_port() == port
