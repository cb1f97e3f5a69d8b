"""git and the local dvc.lock: what a run writes is neither seen nor in the way, until somebody wants it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
IDENTITY = {f"GIT_{who}_{what}": "t@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ENVIRONMENT = {**os.environ, **IDENTITY, "GIT_CONFIG_GLOBAL": "/dev/null", "PYTHONPATH": str(REPOSITORY)}


def run(folder: Path, *command: str, status: int = 0) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def lock_in_git(folder: Path, what: str, status: int = 0) -> str:
    return run(folder, sys.executable, "-m", "dataset.lock_in_git", what, status=status)


def commit(folder: Path, **contents: str) -> None:
    for name, text in contents.items():
        (folder / name.replace("__", ".")).write_text(text)
    run(folder, "git", "add", "-A", "-f")
    run(folder, "git", "commit", "-q", "-m", "x")


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    folder = tmp_path / "upstream"
    folder.mkdir()
    run(folder, "git", "init", "-q", "-b", "main")
    (folder / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore", ".gitignore"):
        (folder / name).write_text((REPOSITORY / name).read_text())
    commit(folder, dvc__yaml="stages: {}\n")
    return folder


@pytest.fixture
def clone(upstream: Path, tmp_path: Path) -> Path:
    run(tmp_path, "git", "clone", "-q", str(upstream), "clone")
    return tmp_path / "clone"


def status(folder: Path) -> str:
    return run(folder, "git", "status", "--porcelain")


def test_no_file_that_git_tracks_is_written_by_a_run() -> None:
    tracked = run(REPOSITORY, "git", "ls-files").split()
    assert "dvc.lock" not in tracked
    assert not [name for name in tracked if name.startswith(("data/", "artifacts/", "mlruns/"))]


def test_a_run_leaves_the_checkout_clean_and_pull_works_whatever_upstream_did(upstream: Path, clone: Path) -> None:
    for _ in range(2):
        lock_in_git(clone, "hide")
    assert (clone / ".git/info/exclude").read_text().count("dvc.lock") == 4
    (clone / "dvc.lock").write_text("mine")
    (clone / "segmentation").mkdir()
    (clone / "segmentation/dvc.lock").write_text("mine")
    for folder in ("data", "artifacts"):
        (clone / folder).symlink_to(upstream.parent)  # as links to a larger disk
    assert status(clone) == ""
    commit(upstream, dvc__yaml="stages: {a: b}\n")
    run(clone, "git", "pull", "-q")
    assert (clone / "dvc.yaml").read_text() == "stages: {a: b}\n"
    assert (clone / "dvc.lock").read_text() == "mine"
    commit(upstream, dvc__lock="theirs")  # nobody means to, yet a pull must not be stuck
    run(clone, "git", "pull", "-q")


def test_what_is_excluded_already_stays_excluded(clone: Path) -> None:
    exclude = clone / ".git/info/exclude"
    exclude.write_text("mine")  # without a line's end
    lock_in_git(clone, "hide")
    assert (
        exclude.read_text()
        == "mine\n/dvc.lock\n/segmentation/dvc.lock\n/detection/dvc.lock\n/detection/crops/dvc.lock\n"
    )
    lock_in_git(clone, "show")
    assert exclude.read_text() == "mine\n"


@pytest.fixture
def old_clone(upstream: Path, clone: Path) -> Path:
    """A clone of when dvc.lock was tracked and hidden by an index flag, after a run, before upstream let go of it."""
    commit(upstream, dvc__lock="theirs")
    run(clone, "git", "pull", "-q")
    run(clone, "git", "update-index", "--skip-worktree", "dvc.lock")
    (clone / "dvc.lock").write_text("mine")
    assert status(clone) == ""
    run(upstream, "git", "rm", "-q", "dvc.lock")
    run(upstream, "git", "commit", "-q", "-m", "x")
    return clone


def test_an_old_clone_sees_its_lock_again_and_keeps_it(old_clone: Path) -> None:
    assert "is seen again" in lock_in_git(old_clone, "hide")
    assert status(old_clone) == " M dvc.lock\n"
    assert (old_clone / "dvc.lock").read_text() == "mine"
    assert lock_in_git(old_clone, "hide") == ""


def test_what_readme_says_mends_the_pull_of_an_old_clone(old_clone: Path) -> None:
    (command,) = re.findall(
        r"`(git update-index --no-skip-worktree dvc\.lock[^`]+)`", (REPOSITORY / "README.md").read_text()
    )
    run(old_clone, "git", "pull", "-q", status=1)
    run(old_clone, "bash", "-ec", command)
    lock_in_git(old_clone, "hide")
    assert (old_clone / "dvc.lock").read_text() == "mine"
    assert status(old_clone) == ""


def test_a_run_of_ones_own_can_be_committed_and_stays_so(clone: Path) -> None:
    lock_in_git(clone, "hide")
    (clone / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    lock_in_git(clone, "show")
    lock_in_git(clone, "hide")  # the next make
    assert status(clone) == "?? dvc.lock\n"
    run(clone, "git", "add", "dvc.lock")
    run(clone, "git", "commit", "-q", "-m", "mine")
    (clone / "dvc.lock").write_text("another run")
    lock_in_git(clone, "hide")
    assert status(clone) == " M dvc.lock\n"
    assert run(clone, sys.executable, "-m", "dvc", "config", "core.no_scm").strip() == "false"


@pytest.mark.parametrize("folder", ["data", "artifacts"])
def test_git_and_folders_that_are_links_are_refused_together_at_once(clone: Path, folder: str) -> None:
    (clone / folder).symlink_to("..")
    assert f"{folder} is a link to .., and DVC with git takes no output behind" in lock_in_git(clone, "show", status=2)
    (clone / folder).unlink()
    lock_in_git(clone, "show")
    (clone / folder).symlink_to("..")
    assert "mount --bind" in lock_in_git(clone, "hide", status=2)


def test_a_project_in_a_folder_of_a_larger_checkout_and_a_second_worktree(clone: Path, tmp_path: Path) -> None:
    (clone / "vision").mkdir()
    lock_in_git(clone / "vision", "hide")
    (clone / "vision/dvc.lock").write_text("mine")
    assert status(clone) == ""
    run(clone, "git", "worktree", "add", "-q", "-b", "other", str(tmp_path / "second"))
    lock_in_git(tmp_path / "second", "hide")
    (tmp_path / "second/dvc.lock").write_text("mine")
    assert status(tmp_path / "second") == ""


def test_without_git_nothing_is_done_and_nothing_said(tmp_path: Path) -> None:
    assert lock_in_git(tmp_path, "hide") == ""
    assert "this is no git checkout" in lock_in_git(tmp_path, "show", status=2)
    assert list(tmp_path.iterdir()) == []
