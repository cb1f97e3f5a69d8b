"""What the command line says of a run, and which saved state it may go on from."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import timm
import torch

from dataset.manifest import Manifest, Protocol
from training.params import Params
from training.process.child_run import STATE_DIR
from training.process.distributed import Worker
from training.run.state import StateDir, StateError, code_sha256

Resume = Literal["auto", "required", "never"]


@dataclass(frozen=True)
class RunControl:
    """What the command line says of a run; nothing here changes what is trained.

    resume: auto goes on from a state of this very run if there is one; required refuses to begin anew; never does.
    """

    out_dir: Path
    num_workers: int = 0
    resume: Resume = "auto"
    save_every_steps: int = 0


def state_dir(control: RunControl, manifest: Manifest, protocol: Protocol, params: Params, worker: Worker) -> StateDir:
    """Return the run's states. They are of use only where all agrees that decides about the bits of the result."""
    identity = {  # each under the name that users know
        "params": hashlib.sha256(params.model_dump_json().encode()).hexdigest(),
        "data": manifest.data_sha256(params.task),
        "protocol": protocol,
        "code": code_sha256(Path(__file__).parents[2]),
        "packages": f"torch {torch.__version__}, timm {timm.__version__}",
        "number of processes": str(worker.world_size),
    }
    return StateDir(control.out_dir / STATE_DIR, identity)


def state_to_resume(states: StateDir, resume: Resume, worker: Worker) -> dict[str, Any] | None:
    """Return, in every process, where to go on; None to begin anew, after removing states of no use.

    Raises StateError if a state is required and there is none.
    """
    return worker.broadcast(_load_state(states, resume) if worker.is_main else None)


def _load_state(states: StateDir, resume: Resume) -> dict[str, Any] | None:
    state = None if resume == "never" else states.load_newest()
    if state is None and resume == "required":
        raise StateError(f"there is nothing to resume in {states.path}: leave --resume out to begin anew")
    if state is None:
        states.clear()
    return state
