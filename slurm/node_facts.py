"""What one node of a job sees: disk, environment, devices, data and ports; nodes are compared by it."""

import csv
import hashlib
import os
import platform
import shutil
import socket
from itertools import islice
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from project.packages import installed_version, read_pins
from runtime.model.cores import usable_cores
from runtime.model.devices import visible_cuda_devices
from runtime.model.hashing import file_sha256
from training.records.lineage import git_commit

LINE_MARK = "vision-node-facts "  # before the JSON; other lines are whatever a login shell prints
NUM_PICTURES = 8
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is measured, nothing is written there
REQUIREMENTS = Path("requirements/train.txt")


class NodeFacts(BaseModel):
    """One node's view. missing: the project folder or its environment is not there; nothing else is known then.

    gpus_given: by Slurm, None if it gave none. token: what the node read in the file that the job wrote, None if it is
    not there. unreadable: pictures of the sample that are missing or differ, with the reason. unlocked: packages that
    differ from requirements/train.txt. shared_memory_mib: free, for processes that load pictures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    missing: str | None = None
    python: str = ""
    environment_sha256: str = ""
    unlocked: tuple[str, ...] = ()
    git_commit: str = ""
    cores: int = 0
    gpus_visible: int = 0
    gpus_given: int | None = None
    token: str | None = None
    unreadable: tuple[str, ...] = ()
    shared_memory_mib: int = 0
    free_port: int = 0
    wanted_port_is_free: bool = True

    @classmethod
    def gather(cls, manifest: Path, token_file: Path, port: int) -> Self:
        """Look around. port: one that the ranks shall meet at, 0 for any."""
        pins = read_pins(REQUIREMENTS)
        versions = {name: installed_version(name) for name in pins}
        listed = "\n".join(f"{name}=={version}" for name, version in sorted(versions.items()))
        given = os.environ.get("SLURM_GPUS_ON_NODE")
        return cls(
            node=os.environ.get("SLURMD_NODENAME", socket.gethostname()),
            python=platform.python_version(),
            environment_sha256=hashlib.sha256(listed.encode()).hexdigest(),
            unlocked=tuple(
                f"{name} is {version}, pinned is {pins[name]}"
                for name, version in versions.items()
                if version != pins[name]
            ),
            git_commit=git_commit(Path()),
            cores=usable_cores(),
            gpus_visible=visible_cuda_devices(),
            gpus_given=int(given) if given else None,
            token=token_file.read_text() if token_file.is_file() else None,
            unreadable=tuple(_unreadable(manifest)),
            shared_memory_mib=shutil.disk_usage(SHARED_MEMORY).free // 2**20 if SHARED_MEMORY.is_dir() else 0,
            free_port=_bind(0) or 0,
            wanted_port_is_free=port == 0 or _bind(port) is not None,
        )


def _bind(port: int) -> int | None:
    """Return a port that can be listened at, or None if `port` is taken."""
    with socket.socket() as listener:
        try:
            listener.bind(("", port))
        except OSError:
            return None
        return int(listener.getsockname()[1])


def _unreadable(manifest: Path) -> list[str]:
    """Read a few pictures, spread over the manifest, and compare them with its hashes."""
    try:
        with manifest.open(encoding="utf-8", newline="") as file:  # not pandas, which takes a second to import
            rows = [(row["path"], row["sha256"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as exc:
        return [f"{manifest}: {exc}"]
    step = max(1, len(rows) // NUM_PICTURES)
    problems = []
    for name, sha256 in islice(rows[::step], NUM_PICTURES):
        path = manifest.parent / name
        try:
            if file_sha256(path) != sha256:
                problems.append(f"{path}: differs from the manifest")
        except OSError as exc:
            problems.append(f"{path}: {exc.strerror}")
    return problems
