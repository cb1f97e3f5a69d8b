"""Which code is running: the git commit, marked when the checkout differs from it, and the packages installed."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from runtime.model.contract import DIRTY


def git_commit(root: Path) -> str:
    """Return the commit's hash, with `-dirty` appended if tracked files differ; empty outside a git checkout."""
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + DIRTY if changed else commit


def environment() -> str:
    """Return Python, the platform and every installed package as pip would freeze it, a line each."""
    packages = {f"{package.name}=={package.version}" for package in metadata.distributions()}
    head = [f"# {platform.platform()}", f"# Python {platform.python_version()}"]
    return "\n".join([*head, *sorted(packages, key=str.lower)]) + "\n"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
