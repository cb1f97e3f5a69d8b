"""SIGTERM under load loses no request: each is answered, refused with a word to send it again, or not accepted."""

import http.client
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.load.server_process import free_port, running, wait_until_ready
from demo import READY_PROBE
from tests.bento_project import Project, copy_project, write_pictures
from tests.service.drain_load import NUM_CLIENTS, Load
from tests.service.slow_model import register_slow_model
from tests.service.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.slow

GRACE_S = 1.0
SETTINGS = {
    "VISION_SESSIONS": "1",
    "VISION_DEADLINE_MS": "60000",  # no deadline is what answers
    "VISION_DRAIN_GRACE_S": str(GRACE_S),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("drain"))
    register_slow_model(project)
    return project


def status_of(port: int, path: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


@pytest.mark.parametrize("fronts", ["0", "2"])
def test_sigterm_under_load_loses_no_request_and_the_server_ends_with_0(
    project: Project, tmp_path: Path, fronts: str
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "service:Vision", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**project.environment, **SETTINGS, "VISION_FRONT_WORKERS": fronts}
    with running(command, project.folder, environment, os.sched_getaffinity(0)) as server:
        wait_until_ready(server, port, READY_PROBE)
        load = Load(port, write_pictures(tmp_path)["green"].read_bytes())
        load.start()
        wait_for(lambda: len(load.outcomes) > NUM_CLIENTS, "answers")
        asked_s = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: status_of(port, "/readyz") == 503, "that it is not ready")
        assert status_of(port, "/livez") == 200
        assert server.process.wait(PATIENCE_S) == 0
        load.assert_none_lost_since(asked_s, GRACE_S)
