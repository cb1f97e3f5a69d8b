"""Label Studio as a process: a stand-in for it, started as it is, so that only its end is looked at."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_label_studio_does_not_outlive_what_started_it(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "environment/bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "python").chmod(0o755)
    (folder / "label-studio").write_text(STAND_IN)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", LABELLING, str(tmp_path), str(port)]
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
