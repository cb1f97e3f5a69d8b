"""Label Studio as a process, how it starts and how it ends: a stand-in for it, started as it is."""

import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from annotation.api import LabelStudioError
from annotation.home import make_access
from annotation.server import running, wait_for_end
from benchmarks.load.server_process import free_port

REPOSITORY = Path(__file__).parents[2]
# As Label Studio is started: answers at the port that follows `--port`, and notes who it is.
STAND_IN = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

server = HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Healthy)
Path("stand_in.pid").write_text(str(os.getpid()))
server.serve_forever()
"""
# Answers one request and breaks down.
ENDING = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
port = int(sys.argv[sys.argv.index("--port") + 1])
with HTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler) as server:
    server.handle_request()
sys.exit("no space left")
"""
LABELLING = """
import sys, time
from pathlib import Path
from annotation.home import Access
from annotation.server import running

home, port = Path(sys.argv[1]), int(sys.argv[2])
with running(home, Access("a@localhost.local", "word", "token"), port, home / "environment"):
    print("runs", flush=True)
    time.sleep(60)
"""


def _environment(home: Path, stand_in: str) -> Path:
    """Return where Label Studio seems to be installed."""
    folder = home / "environment/bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "python").chmod(0o755)
    (folder / "label-studio").write_text(stand_in)
    return folder.parent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_label_studio_does_not_outlive_what_started_it(number: signal.Signals, tmp_path: Path) -> None:
    _environment(tmp_path, STAND_IN)
    command = [sys.executable, "-c", LABELLING, str(tmp_path), str(free_port())]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as labelling:
        assert labelling.stdout
        assert labelling.stdout.readline() == b"runs\n"
        labelling.send_signal(number)
    pid = int((tmp_path / "stand_in.pid").read_text())
    deadline = time.monotonic() + 30
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # one that nobody has asked for yet


def test_server_that_ends_by_itself_is_not_waited_for_and_its_last_words_are_said(tmp_path: Path) -> None:
    home = tmp_path / "labels"
    access = make_access(home)
    with running(home, access, free_port(), _environment(tmp_path, ENDING)) as process:
        assert stat.S_IMODE((home / "server").stat().st_mode) == 0o700, "the token lies there"
        with pytest.raises(LabelStudioError, match=r"ended with status 1: .*server\.log ends with: .*no space left"):
            wait_for_end(process, home)


def test_port_that_another_program_has_is_refused_and_no_other_one_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(LabelStudioError, match=rf"cannot listen at port {port} \(Address already in use\)"),
            running(tmp_path, make_access(tmp_path), port, _environment(tmp_path, ENDING)),
        ):
            pass
