"""A server of Label Studio's that does not start, or ends by itself, is an error that says why; a stand-in plays it."""

import socket
import stat
import sys
from pathlib import Path

import pytest

from annotation.api import LabelStudioError
from annotation.home import make_access
from annotation.server import running, wait_for_end

# Answers one request and breaks down.
STAND_IN = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
port = int(sys.argv[sys.argv.index("--port") + 1])
with HTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler) as server:
    server.handle_request()
sys.exit("no space left")
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    folder = tmp_path / "environment/bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (folder / "label-studio").write_text(STAND_IN)
    return folder.parent


def test_server_that_ends_by_itself_is_not_waited_for_and_its_last_words_are_said(
    tmp_path: Path, environment: Path
) -> None:
    home = tmp_path / "labels"
    access = make_access(home)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running(home, access, port, environment) as process:
        assert stat.S_IMODE((home / "server").stat().st_mode) == 0o700, "the token lies there"
        with pytest.raises(LabelStudioError, match=r"ended with status 1: .*server\.log ends with: .*no space left"):
            wait_for_end(process, home)


def test_port_that_another_program_has_is_refused_and_no_other_one_taken(tmp_path: Path, environment: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(LabelStudioError, match=rf"cannot listen at port {port} \(Address already in use\)"),
            running(tmp_path, make_access(tmp_path), port, environment),
        ):
            pass
