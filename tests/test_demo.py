"""The demo shows one answer and leaves nothing running."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo import DemoError, Picture, describe, picture_of_test_split
from runtime.answers.results import ModelIdentity, Prediction
from tests.bento_project import ROOT, Project, copy_project, write_pictures

MANIFEST = "path,label,group,split\npictures/red.png,red,a,train\npictures/green.png,green,b,test\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a built Bento and a manifest of three pictures."""
    project = copy_project(tmp_path_factory.mktemp("demo"))
    shutil.copyfile(ROOT / "demo.py", project.folder / "demo.py")
    pictures = project.folder / "data" / "pictures"
    pictures.mkdir(parents=True)
    write_pictures(pictures)
    (project.folder / "data" / "manifest.csv").write_text(MANIFEST)
    project.register()
    built = project.build()
    assert built.returncode == 0, built.stderr
    return project


def run_demo(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "demo.py", *arguments],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def servers_of(project: Project) -> list[str]:
    """Command lines of running processes that name this project's Bento."""
    version = (project.home / "bentos" / "vision" / "latest").read_text().strip()
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it ended while we looked
    return [line for line in lines if version in line]


def test_demo_prints_answer_true_label_and_where_things_lie_and_leaves_no_process(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment names proxies that nobody is, and exempts nothing from them."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    done = run_demo(project)
    assert done.returncode == 0, done.stderr
    assert "true label   green\nanswer       green (99.6%)" in done.stdout
    bento = next((project.home / "bentos" / "vision").glob("*/bento.yaml")).parent
    for place in ("artifacts/report.html", "artifacts/MODEL_CARD.md", str(bento)):
        assert place in done.stdout
    assert servers_of(project) == []


def test_ctrl_c_ends_the_demo_in_one_line_and_the_server_with_it(project: Project) -> None:
    demo = subprocess.Popen(
        [sys.executable, "demo.py"], cwd=project.folder, env=project.environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not servers_of(project) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers_of(project)
    os.killpg(demo.pid, signal.SIGINT)
    _, error = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert error.strip().splitlines()[-1] == "demo: stopped, and the server with it; nothing was changed"
    assert "Traceback" not in error
    assert servers_of(project) == []


ANSWER = Prediction(
    label="b",
    class_id=1,
    probability=0.75,
    probabilities={"a": 0.25, "b": 0.75},
    logits={"a": 0, "b": 1},
    model=ModelIdentity(name="m", version="1", sha256="0" * 64),
)


def test_picture_of_ones_own_has_no_true_label() -> None:
    lines = describe(Picture(Path("own.png"), ""), ANSWER).splitlines()
    assert lines[1:3] == ["true label   not known", "answer       b (75.0%)"]
    assert [line.split()[0] for line in lines[3:5]] == ["b", "a"]


def test_a_wrong_answer_is_called_wrong_and_a_right_one_is_not() -> None:
    assert "which is wrong" in describe(Picture(Path("own.png"), "a"), ANSWER)
    assert "wrong" not in describe(Picture(Path("own.png"), "b"), ANSWER)


def test_server_that_does_not_start_shows_its_log_and_leaves_no_process(project: Project, tmp_path: Path) -> None:
    broken = Project(project.folder, Path(shutil.copytree(project.home, tmp_path / "home")))
    [model] = broken.home.glob("models/vision-classifier/*/model.onnx")
    model.write_bytes(b"broken")
    done = run_demo(broken)
    assert done.returncode == 2
    assert "does not start; the end of its log:" in done.stderr
    assert "cannot be loaded as an ONNX model" in done.stderr
    assert servers_of(broken) == []


def test_missing_bento_names_the_command(project: Project, tmp_path: Path) -> None:
    done = run_demo(Project(project.folder, tmp_path / "home"))
    assert (done.returncode, done.stderr.startswith("there is no Bento vision:latest; run `make bento`")) == (2, True)


def test_manifest_without_test_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label,split\na.png,a,train\n")
    with pytest.raises(DemoError, match=r"no picture in the test split; run `make data`"):
        picture_of_test_split(tmp_path / "manifest.csv")
