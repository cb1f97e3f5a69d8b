"""Which code is running: the git commit, marked when the checkout differs from it."""

import subprocess
from pathlib import Path


def git_commit(root: Path) -> str:
    """Return the commit's hash, with `-dirty` appended if tracked files differ; empty outside a git checkout."""
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}-dirty" if changed else commit


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
