"""The whole benchmark with a tiny model, real servers and real load: who is missing is named, nothing is left."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from benchmarks.load.servers import OURS, PROJECT_DIR, Served, servers
from benchmarks.serve_load import main
from benchmarks.workload import LARGE_SIZE_PX, large_picture, small_picture
from runtime.model.image import decode_image
from tests.bento_project import copy_project

WINDOW = "FastAPI, 10 ms window"
LITSERVE = "LitServe, 10 ms window"


@pytest.mark.slow
def test_a_quick_run_compares_names_who_is_missing_and_leaves_no_process(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    project.register()
    out = tmp_path / "report"
    command = [sys.executable, "-m", "benchmarks.serve_load", "--quick", "--bento", str(project.folder)]
    command += ["--server", WINDOW, "--server", LITSERVE, "--out", str(out)]
    done = subprocess.run(command, cwd=PROJECT_DIR, env=project.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "serving.json").read_text())
    assert report["is_complete"]
    assert report["skipped"] == {LITSERVE: "litserve is not installed (`requirements/install.sh bench` installs it)"}
    assert f"skipped: {LITSERVE}: litserve is not installed" in done.stderr
    page = (out / "serving.html").read_text()
    assert "skipped: litserve is not installed" in page
    turns = {turn["server"]: turn for turn in report["turns"]}
    assert turns.keys() == {OURS, WINDOW}
    for turn in turns.values():
        assert turn["failure"] == ""
        kinds = [(phase["kind"], phase["level"]) for phase in turn["phases"]]
        assert kinds[:5] == [("before", 1), ("sweep", 8), ("sweep", 32), ("after", 1), ("large", 2)]
        assert kinds[5:] == [("overload", 2.0)]
        assert all(set(phase["result"]["answers"]) == {"200"} for phase in turn["phases"][:5])
        assert all(phase["result"]["num_unanswered"] == 0 for phase in turn["phases"])
    assert report["summary"]["best_peer"] == WINDOW
    assert _processes_with(str(project.home)) == []


def _processes_with(home: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("BENTOML_HOME", "").startswith(home):
                found.append(process)
    return found


def test_a_peer_that_is_not_installed_says_how_to_install_it(tmp_path: Path) -> None:
    served = Served("vision:latest", tmp_path, sessions=2, threads=1)
    missing = {server.name: server.missing for server in servers(served, 0, tmp_path)}
    assert [name for name, reason in missing.items() if reason is None] == [
        OURS, "stock BentoML", "stock BentoML, a worker a core", WINDOW,
    ]  # fmt: skip
    assert all("requirements/install.sh bench" in reason for reason in missing.values() if reason)


def test_without_a_bento_it_ends_with_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bento", "no-such-bento:latest", "--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "no-such-bento:latest" in message
    assert "make bento" in message
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_what_they_are_said_to_be() -> None:
    small = small_picture()
    assert decode_image(small).shape == (224, 224, 3)
    assert 25_000 < len(small) < 33_000
    assert small == small_picture()
    width, height = LARGE_SIZE_PX
    assert decode_image(large_picture()).shape == (height, width, 3)
