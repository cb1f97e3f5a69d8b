"""Reach the Label Studio of this checkout: the one that runs, or one started for as long as it is needed."""

import argparse
import logging
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from annotation.api import LabelStudio, LabelStudioError
from annotation.home import LABELS_DIR, make_access, read_access
from annotation.server import ENVIRONMENT, answers, running
from project.command import at_least

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reach:
    """A server that answers. process: its own if it was started here, to end with this one; None if it ran already."""

    server: LabelStudio
    username: str
    process: subprocess.Popen[bytes] | None


def add_server_options(parser: argparse._ActionsContainer) -> None:
    """Give a command the options that say which server it is about."""
    parser.add_argument("--home", type=Path, default=LABELS_DIR, help="where labelling is kept")
    parser.add_argument("--port", type=at_least(1), default=8080)
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT, help="where Label Studio is installed")


@contextmanager
def reached(home: Path, port: int, environment: Path) -> Iterator[Reach]:
    """Yield the server of `home`, which is started, and ended again, if nothing answers at the port.

    Raises LabelStudioError if something else answers there, or if it does not start; ManifestError for an account whose
    password went away.
    """
    access = read_access(home) or make_access(home)
    url = f"http://127.0.0.1:{port}"
    runs = answers(url)
    if not runs:
        logger.info("starting Label Studio; the first time it makes its database, which takes some 30 seconds")
    starting: AbstractContextManager[subprocess.Popen[bytes] | None]
    starting = nullcontext() if runs else running(home, access, port, environment)
    with starting as process:
        server = LabelStudio(url, access.token)
        try:
            if not server.is_ours():
                raise LabelStudioError(
                    f"what answers at {url} is not the Label Studio of {home}: choose another port (LABELS_PORT=8081)"
                )
            yield Reach(server, access.username, process)
        finally:
            server.close()
