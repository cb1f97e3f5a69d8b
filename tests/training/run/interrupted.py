"""`python -m tests.training.run.interrupted FORM STEP RANK MARKER [ARGUMENTS]`: training.train, but not to the end.

When process RANK has taken step STEP, but not counted it, it kills itself (`kill`), or asks itself (`ask`), its
parent (`ask-parent`) or its process group (`ask-group`) to leave; minus the last step of an epoch that is kept is when
its model is ready and not yet saved. Once only: the file MARKER says that it happened. `forked`: RANK is a list of
steps; runs are forked and killed there, one after the other, and the last one runs to its end.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from training import train
from training.run.position import Keeper
from training.run.trainer import Trainer

AFTER_STEP, KEEP = Keeper.after_step, Trainer._keep


def _interrupt_at(form: str, step: int, rank: str, marker: Path) -> None:
    def maybe(number: int) -> None:
        if number == step and os.environ.get("RANK", "0") == rank and not marker.exists():
            marker.write_text("now", encoding="utf-8")
            if form == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if form == "ask-group":
                _ask_own_group()
            else:
                os.kill(os.getppid() if form == "ask-parent" else os.getpid(), signal.SIGTERM)

    def after_step(self: Keeper) -> None:
        maybe(self.at.step + 1)
        AFTER_STEP(self)

    def keep(self: Trainer, *ready: Any) -> None:
        maybe(-self._keeper.at.step)
        KEEP(self, *ready)

    Keeper.after_step, Trainer._keep = after_step, keep  # type: ignore[assignment, method-assign]


def _ask_own_group() -> None:
    """Send SIGTERM to this process and its loading processes, from a process that is none of them."""
    assert os.getpgrp() == os.getpid(), "the run must lead a group of its own: others' processes would be asked too"
    code = f"import os; os.killpg({os.getpid()}, {int(signal.SIGTERM)})"
    subprocess.run([sys.executable, "-c", code], start_new_session=True, check=True)


def _forked(steps: list[int], marker: Path, arguments: list[str]) -> int:
    """Each run is a fork of this process, which saves the seconds of importing PyTorch."""
    import mlflow

    assert mlflow
    for step in [*steps, 0]:
        child = os.fork()
        if child == 0:
            _interrupt_at("kill", step, "0", marker)
            os._exit(train.main(arguments))
        _, status = os.waitpid(child, 0)
        marker.unlink(missing_ok=True)
        expected = 0 if step == 0 else -signal.SIGKILL
        if os.waitstatus_to_exitcode(status) != expected:
            sys.stderr.write(f"the run to be killed at step {step} ended with {os.waitstatus_to_exitcode(status)}\n")
            return 1
    return 0


def main() -> int:
    form, step, rank, marker, *arguments = sys.argv[1:]
    if form == "forked":
        return _forked([int(number) for number in rank.split(",")], Path(marker), arguments)
    _interrupt_at(form, int(step), rank, Path(marker))
    return train.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
