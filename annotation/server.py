"""Start Label Studio on this machine, in its own environment: SQLite, the loopback, and nothing that phones home."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from annotation.api import LabelStudioError
from annotation.home import Access
from project.parent_death import die_with_parent

ENVIRONMENT = Path(".venv-labels")
LOG = "server.log"
_START_S = 1800.0  # the first start makes the database; machines may be busy
_POLL_S = 1.0
_ANSWER_S = 5.0
_END_S = 20.0
_LOG_LINES = 5
# What Label Studio itself asks for nobody: as it has them by default, without the loopback.
_CLOSED_NETWORKS = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    *("198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "fc00::/7", "fe80::/10", "ff00::/8"),
)


@contextmanager
def running(
    home: Path, access: Access, port: int, environment: Path = ENVIRONMENT
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Label Studio until the block ends; yields its process once it answers.

    environment: where it is installed. Raises LabelStudioError if it does not start.
    """
    url = f"http://127.0.0.1:{port}"
    log = home / LOG
    # Its owner's alone: the database holds the token.
    (home / "server").mkdir(mode=0o700, parents=True, exist_ok=True)
    python = environment / "bin/python"
    # Not the script itself: it begins with the path at which the environment was made.
    command = [
        str(python.absolute()), str((environment / "bin/label-studio").absolute()), "start", "--no-browser",
        "--internal-host", "127.0.0.1", "--port", str(port), "--host", url,
    ]  # fmt: skip
    if not python.exists():
        raise LabelStudioError(f"Label Studio is not installed in {environment}: run make labels")
    _check_free(port)
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=server_environment(home, access), cwd=home,
            preexec_fn=partial(die_with_parent, signal.SIGTERM),  # no thread runs yet
        )  # fmt: skip
    try:
        _wait(process, url, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_end(process: subprocess.Popen[bytes], home: Path) -> NoReturn:
    """Wait until a server of `home` ends, which it never does by itself: Ctrl-C, or LabelStudioError."""
    raise _ended(process.wait(), home / LOG)


def server_environment(home: Path, access: Access) -> dict[str, str]:
    """Return the environment of the server: of this process's no setting of Label Studio's, and ours."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LABEL_STUDIO_", "HEARTEX_"))}
    own = {
        "BASE_DATA_DIR": str((home / "server").absolute()),
        "USERNAME": access.username,
        "PASSWORD": access.password,
        "USER_TOKEN": access.token,
        "ENABLE_LEGACY_API_TOKEN": "true",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(home.absolute()),
        # Without these, errors, use and a question for the newest version go to its makers.
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LATEST_VERSION_CHECK": "false",
        # Our own service, on this machine, may be its model; other networks' inner addresses stay closed.
        "ML_BLOCK_LOCAL_IP": "false",
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": ",".join(_CLOSED_NETWORKS),
    }
    return kept | {"DJANGO_DB": "sqlite"} | {f"LABEL_STUDIO_{key}": value for key, value in own.items()}


def answers(url: str) -> bool:
    """Tell whether a server answers HTTP at an address of this machine, whatever it says."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/health")
        connection.getresponse().read()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _ended(process.returncode, log)
        if answers(url):
            return
        time.sleep(_POLL_S)
    raise LabelStudioError(f"Label Studio did not answer at {url} within {_START_S:g} s: {_last_lines(log)}")


def _check_free(port: int) -> None:
    """Raise LabelStudioError for a port at which nobody can listen: Label Studio would take the next one, unasked."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            raise LabelStudioError(
                f"Label Studio cannot listen at port {port} ({exc.strerror}): choose another one (LABELS_PORT=8081)"
            ) from exc


def _ended(status: int, log: Path) -> LabelStudioError:
    return LabelStudioError(f"Label Studio ended with status {status}: {_last_lines(log)}")


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{log} ends with: " + " | ".join(lines[-_LOG_LINES:])
