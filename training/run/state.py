"""Where a run is, on disk: enough to go on with the same bits after being killed at any step.

Each file `state-<step>.pt` is whole or not there, begins with the SHA-256 of the rest, and loads without running code.
The newest two are kept, and the best weights so far as `best-<epoch>.pt`, which states name.
"""

import hashlib
import io
import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from project.write_whole import TEMPORARY_SUFFIX, write_whole

NUM_KEPT = 2
MAGIC = b"bento-vision run state 1\n"
logger = logging.getLogger(__name__)


class StateError(ValueError):
    """A state file that is damaged, or that must be used and cannot be."""


@dataclass(frozen=True)
class StateDir:
    """The folder of a run's states.

    identity: what a state must agree with to be of use: hashes of params, data and code, the number of processes.
    """

    path: Path
    identity: dict[str, str]

    def save(self, step: int, document: dict[str, Any]) -> Path:
        """Write the state after optimiser step `step`, and remove what is older than the last two."""
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, "step": step, **document}, buffer)
        body = buffer.getbuffer()
        path = self.path / f"state-{step:09d}.pt"
        write_whole(path, MAGIC, hashlib.sha256(body).hexdigest() + "\n", body)
        self._prune(document.get("best_file"))
        return path

    def load_newest(self) -> dict[str, Any] | None:
        """Return the newest sound state of this very run; None, with the reasons logged, if there is none."""
        for path in sorted(self.path.glob("state-*.pt"), reverse=True):
            try:
                document = read_state(path)
            except StateError as exc:
                logger.warning("skipping a damaged state: %s", exc)
                continue
            others = sorted(k for k in self.identity if document["identity"].get(k) != self.identity[k])
            if others:
                logger.warning("not resuming: %s is of other %s", path, ", ".join(others))
                return None
            best = document.get("best_file")
            if best and not (self.path / best).is_file():
                logger.warning("skipping a state: %s needs %s, which is not there", path, best)
                continue
            return document
        return None

    def publish(self, best_path: Path, checkpoint_path: Path) -> None:
        """Put the best checkpoint where others look for it. It is kept here too: DVC removes a stage's outputs."""
        write_whole(checkpoint_path, best_path.read_bytes())

    def clear(self) -> None:
        """Remove all states: the run is over, or another begins."""
        for path in self.path.glob("*"):
            if re.fullmatch(r"(state|best)-\d+\.pt(\..+\.tmp)?", path.name):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # not there, or something else lies in it
            self.path.rmdir()

    def _prune(self, best_file: str | None) -> None:
        states = sorted(self.path.glob("state-*.pt"))
        for path in states[:-NUM_KEPT]:
            path.unlink(missing_ok=True)
        for path in self.path.glob(f"*{TEMPORARY_SUFFIX}"):  # of a run that was killed while it wrote
            path.unlink(missing_ok=True)
        # The state before this one may name the best before this one.
        bests = sorted(p.name for p in self.path.glob("best-*.pt"))
        kept = {best_file, *bests[-NUM_KEPT:]}
        for name in set(bests) - kept:
            (self.path / name).unlink(missing_ok=True)


def read_state(path: Path) -> dict[str, Any]:
    """Read one state file. Raises StateError naming it if it is damaged."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise StateError(f"cannot read {path}: {exc}") from exc
    magic, digest, body = content[: len(MAGIC)], content[len(MAGIC) : len(MAGIC) + 64], content[len(MAGIC) + 65 :]
    if magic != MAGIC or hashlib.sha256(body).hexdigest().encode() != digest:
        raise StateError(f"{path} is not what was written ({len(content)} bytes)")
    document: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return document


def code_sha256(root: Path) -> str:
    """Hash the modules that decide what training computes."""
    digest = hashlib.sha256()
    for room in ("dataset", "evaluation", "project", "runtime", "training"):
        for path in sorted((root / room).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
