"""A stage's outputs: what runs wrote is replaced, what a person put or changed there is kept."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.outputs.written import Written

REPOSITORY = Path(__file__).parents[2]
PIPELINE = """
stages:
  table:
    cmd: .venv/bin/python -m dataset.stage writing
    desc: writes a table; a second
    outs:
      - results/table:
          persist: true
    plots:
      - results/card.md
"""
WRITING = """
import os, pathlib, sys, time
folder = pathlib.Path("results/table")
(folder / "deep").mkdir(parents=True)
for name in sys.argv[1].split(","):
    (folder / name).write_text(sys.argv[1])
pathlib.Path("results/card.md").write_text(sys.argv[1])
if "wait" in sys.argv:
    print("waiting", flush=True)
    time.sleep(60)
if "full" in sys.argv:
    with open("/dev/full", "w") as file:
        file.write("x")
if "wrong" in sys.argv:
    sys.exit(3)
if "words" in sys.argv:
    sys.exit("an error in words")
if "bug" in sys.argv:
    raise FileNotFoundError(2, "No such file", "x")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "writing.py").write_text(WRITING)
    return tmp_path


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dataset.stage", "writing", *arguments], cwd=project, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


def run(project: Path, *arguments: str, status: int = 0) -> str:
    process = start(project, *arguments)
    error = process.communicate(timeout=300)[1]
    assert process.returncode == status, error
    return error


def interrupted(project: Path, number: signal.Signals) -> tuple[int, str]:
    with start(project, "b.csv", "wait") as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == ["table: writes a table; a second\n", "waiting\n"]
        process.send_signal(number)
        error = process.communicate(timeout=300)[1]
    return process.returncode, error


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".written" not in path.parts
    }


def kept(project: Path) -> list[str]:
    return [text for name, text in files(project / "results").items() if name.startswith("kept/")]


def test_what_an_earlier_run_wrote_is_replaced_whole(project: Path) -> None:
    run(project, "a.csv,deep/b.csv")
    assert run(project, "c.csv") == ""
    assert files(project / "results") == {"card.md": "c.csv", "table/c.csv": "c.csv"}


def test_files_that_no_run_wrote_stay_run_after_run(project: Path) -> None:
    (project / "results/table/deep").mkdir(parents=True)
    (project / "results/table/before.txt").write_text("before the first run")
    assert run(project, "a.csv") == ""
    (project / "results/table/deep/notes.txt").write_text("mine")
    (project / "results/table/copy.csv").write_text("a.csv")  # the bytes of a.csv
    for names in ("a.csv", "b.csv"):
        assert run(project, names) == ""
        assert files(project / "results") == {
            "card.md": names,
            f"table/{names}": names,
            "table/before.txt": "before the first run",
            "table/deep/notes.txt": "mine",
            "table/copy.csv": "a.csv",
        }


def test_what_a_person_changed_is_kept_aside_and_said(project: Path) -> None:
    run(project, "a.csv,b.csv")
    (project / "results/card.md").write_text("my words")
    (project / "results/table/a.csv").write_text("my figures")
    error = run(project, "a.csv,b.csv")
    assert sorted(kept(project)) == ["my figures", "my words"]
    assert "results/card.md held what no run can make again; it is kept: results/kept/card.md-" in error
    assert "results/table held what no run can make again" in error
    assert files(project / "results/table") == {"a.csv": "a.csv,b.csv", "b.csv": "a.csv,b.csv"}


def test_a_file_of_a_persons_own_that_a_run_now_writes_is_kept_aside(project: Path) -> None:
    (project / "results/table").mkdir(parents=True)
    (project / "results/table/a.csv").write_text("mine")
    (project / "results/card.md").write_text("my card")
    run(project, "a.csv")
    assert sorted(kept(project)) == ["mine", "my card"]


def test_an_output_that_is_a_link_is_not_written_through(project: Path) -> None:
    (project / "results").mkdir()
    (project / "mine.md").write_text("mine")
    (project / "results/card.md").symlink_to("../mine.md")
    run(project, "a.csv")
    assert (project / "mine.md").read_text() == "mine"
    assert not (project / "results/card.md").is_symlink()


def test_the_whole_of_results_may_be_a_link(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (project / "results").symlink_to(tmp_path_factory.mktemp("disk"))
    run(project, "a.csv")
    run(project, "b.csv")
    assert files(project / "results") == {"card.md": "b.csv", "table/b.csv": "b.csv"}


def test_ctrl_c_is_one_line_and_what_was_half_written_is_the_runs(project: Path) -> None:
    run(project, "a.csv")
    status, error = interrupted(project, signal.SIGINT)
    assert status == 130
    assert error == "\nstopped in writing: what earlier stages made is saved, and the same command goes on\n"
    assert run(project, "c.csv") == ""
    assert files(project / "results") == {"card.md": "c.csv", "table/c.csv": "c.csv"}


def test_an_end_that_is_asked_for_ends_as_well(project: Path) -> None:
    assert interrupted(project, signal.SIGTERM) == (143, "")
    assert run(project, "c.csv") == ""
    assert files(project / "results") == {"card.md": "c.csv", "table/c.csv": "c.csv"}


def test_after_a_run_that_was_killed_nothing_is_taken_for_whole_and_nothing_lost(project: Path) -> None:
    run(project, "a.csv")
    (project / "results/table/notes.txt").write_text("mine")
    run(project, "a.csv")
    assert interrupted(project, signal.SIGKILL)[0] == -signal.SIGKILL
    (project / "results/table/later.txt").write_text("put there afterwards")
    run(project, "c.csv")
    everything = files(project / "results")
    assert set(everything.values()) >= {"mine", "put there afterwards", "c.csv"}
    assert "table/b.csv" not in everything


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("wrong", 3, ""),
        ("words", 1, "an error in words\n"),
        ("full", 2, "error: cannot write "),
        ("bug", 1, "Traceback"),
    ],
)
def test_a_failure_is_the_modules_own_and_leaves_nothing_behind(
    project: Path, how: str, status: int, said: str
) -> None:
    error = run(project, "a.csv", how, status=status)
    assert error.startswith(said)
    assert ("Traceback" in error) == (how == "bug")
    assert ("No space left on device; " in error) == (how == "full")
    assert run(project, "c.csv") == ""
    assert files(project / "results") == {"card.md": "c.csv", "table/c.csv": "c.csv"}


def test_a_note_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / ".written").mkdir()
    for text in ("", "[]", "{}", '{"files": 1, "own": [], "is_open": false}', "\x00"):
        (tmp_path / ".written/table.json").write_text(text)
        assert Written.read(tmp_path / "table") == Written()


def test_a_module_that_is_not_there_is_refused(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dataset.stage", "absent"], cwd=project, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_a_persons_file_is_back_after_a_run_that_was_killed(project: Path) -> None:
    own = project / "results/table/deep/own [1].txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    killed = start(project, "a.txt", "wait")
    assert killed.stdout is not None
    assert [killed.stdout.readline() for _ in range(2)] == ["table: writes a table; a second\n", "waiting\n"]
    assert not own.exists()  # held aside
    killed.kill()
    killed.communicate()
    again = start(project, "a.txt")
    again.communicate()
    assert again.returncode == 0
    assert own.read_text() == "mine"
