"""Keep git and the local dvc.lock, of each task, out of each other's way: `python -m dataset.lock_in_git hide|show`.

Every run writes one. The repository tracks none, DVC works without git (`core.no_scm`), and `hide` names them in the
checkout's own exclude file; so a run leaves `git status` clean and `git pull` nothing to overwrite. `show`
undoes that in this checkout, for those who commit and compare runs of their own (`dvc exp run`, `dvc metrics diff`).
"""

import argparse
import configparser
import subprocess
import sys
from pathlib import Path

from dataset.outputs.tasks import PIPELINES
from project.command import command

_LOCK_FILES = tuple(file.with_suffix(".lock") for file in PIPELINES.values())
_OLD_LOCK_FILE = Path("dvc.lock")  # the one that was tracked once
_FOLDERS = ("data", "artifacts")
_LOCAL_CONFIG = Path(".dvc/config.local")
_HIDDEN = ("S", "h", "s")  # what `git ls-files -v` says of files that git was told not to look at


def hide() -> None:
    """Let git not see dvc.lock, where it is git's to see: outside of git, and after `show`, nothing is done.

    A checkout in which an index flag hid a tracked dvc.lock, as those of before did, sees it again; its content stays.
    Raises RuntimeError if, after `show`, a folder of the runs became a link.
    """
    if _is_shown():
        _check_no_link()
    listed = _git("ls-files", "-v", "--", str(_OLD_LOCK_FILE))
    if listed is None:
        return
    if listed.startswith(_HIDDEN):
        for flag in ("--no-skip-worktree", "--no-assume-unchanged"):  # git does one of them at a time
            _git("update-index", flag, str(_OLD_LOCK_FILE))
        sys.stderr.write("dvc.lock was hidden from git by a flag, which stops `git pull`; it is seen again, as it is\n")
    if not listed and not _is_shown():
        exclude, patterns = _exclude()
        lines = exclude.read_text(encoding="utf-8").splitlines() if exclude.is_file() else []
        if new := [pattern for pattern in patterns if pattern not in lines]:
            exclude.parent.mkdir(parents=True, exist_ok=True)
            exclude.write_text("\n".join([*lines, *new]) + "\n", encoding="utf-8")


def show() -> None:
    """Let git see dvc.lock and DVC see git. Raises RuntimeError outside of git, and if the runs' folders are links."""
    if _git("rev-parse", "--show-prefix") is None:
        raise RuntimeError("this is no git checkout: there is nothing that could hold a run (git init makes one)")
    _check_no_link()
    hide()
    exclude, patterns = _exclude()
    if exclude.is_file():
        lines = exclude.read_text(encoding="utf-8").splitlines()
        exclude.write_text("".join(f"{line}\n" for line in lines if line not in patterns), encoding="utf-8")
    command = [sys.executable, "-m", "dvc", "config", "--local", "core.no_scm", "false"]
    subprocess.run(command, check=True)


def _check_no_link() -> None:
    for folder in map(Path, _FOLDERS):
        if folder.is_symlink():
            raise RuntimeError(
                f"{folder} is a link to {folder.readlink()}, and DVC with git takes no output behind a link: mount "
                f"that folder there instead (mount --bind {folder.readlink()} {folder}), or leave git out again "
                "(dvc config --local core.no_scm true)"
            )


def _is_shown() -> bool:
    config = configparser.ConfigParser()
    config.read(_LOCAL_CONFIG, encoding="utf-8")
    return not config.getboolean("core", "no_scm", fallback=True)


def _exclude() -> tuple[Path, list[str]]:
    """Return the checkout's own exclude file and the lines in it that name the lock files."""
    exclude, prefix = _git("rev-parse", "--git-path", "info/exclude"), _git("rev-parse", "--show-prefix")
    root = f"/{(prefix or '').rstrip()}"
    return Path((exclude or "").rstrip("\n")), [f"{root}{file.as_posix()}" for file in _LOCK_FILES]


def _git(*arguments: str) -> str | None:
    """Return what git prints; None without git, and where it knows no checkout."""
    command = ["git", *arguments]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("hide", "show"))


@command(_arguments, known=(OSError, RuntimeError, subprocess.CalledProcessError), speaker="error")
def main(arguments: argparse.Namespace) -> None:
    (hide if arguments.what == "hide" else show)()


if __name__ == "__main__":
    sys.exit(main())
