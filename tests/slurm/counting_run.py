"""A run over many processes that keeps the contract of training without its cost: it adds up random numbers.

Saves after every step, resumes from there with the same bits, leaves with status 75 after SIGUSR1 or SIGTERM. While the
file `gate` is there it waits in step 2, where tests kill what they want to kill.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from training.process.distributed import worker

NUM_STEPS = 4
told_to_stop = False


def _stop(number: int, frame: object) -> None:
    global told_to_stop
    told_to_stop = True


def main(folder: Path) -> int:
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, _stop)
    with worker() as this:
        if (folder / "fail").exists():
            raise ArithmeticError(f"step 0 failed at address {id(this):#x}")
        state_file = folder / "state.json"
        state: dict[str, Any] = (
            json.loads(state_file.read_text()) if state_file.is_file() else {"step": 0, "total": 0.0}
        )
        (folder / f"rank{this.rank}.pid").write_text(str(os.getpid()))
        while state["step"] < NUM_STEPS:
            numbers = random.Random(100 * state["step"] + this.rank)
            flags = torch.tensor([numbers.random(), float(_is_told(folder, state["step"]))], dtype=torch.float64)
            dist.all_reduce(flags)
            state = {"step": state["step"] + 1, "total": state["total"] + float(flags[0])}
            if this.is_main:
                state_file.with_suffix(".tmp").write_text(json.dumps(state))
                state_file.with_suffix(".tmp").replace(state_file)
            dist.barrier()
            if flags[1]:
                return 75
        if this.is_main:
            (folder / "result.json").write_text(json.dumps({**state, "ranks": this.world_size}))
    return 0


def _is_told(folder: Path, step: int) -> bool:
    while step == 2 and (folder / "gate").exists() and not told_to_stop:
        (folder / "reached").touch()
        time.sleep(0.05)
    return told_to_stop


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
