"""A training run as a child process that cannot outlive the process that started it.

`python -m training.process.child_run PARENT_PID SIGNAL MODULE [ARGUMENTS]` asks the kernel for SIGNAL at its parent's
death, whatever kills the parent, and then becomes `python -m MODULE`. (A `preexec_fn` would do the same after a fork of
a process with threads, where Python may lock up.) Linux only, as is the rest.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from project.parent_death import die_with_parent

REPOSITORY = Path(__file__).resolve().parents[2]
CHILD_LOG = "child.log"
STATE_DIR = "state"  # of a run, in its --out: what it goes on from
STOP_TIMEOUT_S = 20.0  # to end a run in order before it is killed
DEATH_SIGNAL = signal.SIGKILL  # for a child without children of its own


def start_training(
    params: Path, manifest: Path, out_dir: Path, task: str = "classification"
) -> subprocess.Popen[bytes]:
    """Start one run; its output goes to `child.log` in `out_dir`. Takes NPROC processes, as `make train` does.

    Call it from the main thread: the kernel counts the death of the thread that started a child as the parent's.
    """
    num_processes = os.environ.get("NPROC", "1")
    # torchrun ends its processes when told to; a single process needs no torchrun, whose import takes seconds.
    if num_processes == "1":
        modules, death_signal = ["training.train"], DEATH_SIGNAL
    else:
        modules, death_signal = ["training.launch", "training.train"], signal.SIGTERM
    files = ["--params", str(params), "--manifest", str(manifest), "--out", str(out_dir), "--task", task]
    return start_child(death_signal, [*modules, *files], out_dir / CHILD_LOG)


def start_child(death_signal: signal.Signals, words: Sequence[str], log_path: Path) -> subprocess.Popen[bytes]:
    """Start `python -m WORDS` bound to this process; standard output and error go to `log_path`."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TQDM_DISABLE": "1"}
    command = [sys.executable, "-m", "training.process.child_run", str(os.getpid()), str(int(death_signal)), *words]
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)


def stop_child(child: subprocess.Popen[bytes]) -> None:
    """End a child in order if it lets itself be ended, and at once after STOP_TIMEOUT_S."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


def take_over_state(from_dir: Path, out_dir: Path) -> None:
    """Let the run in `out_dir` go on where that in `from_dir` was stopped, if it had saved anything."""
    with suppress(FileNotFoundError):
        (from_dir / STATE_DIR).rename(out_dir / STATE_DIR)


def drop_state(out_dir: Path) -> None:
    """Remove what a run that nobody goes on with has saved: weights and moments, several times its checkpoint."""
    shutil.rmtree(out_dir / STATE_DIR, ignore_errors=True)


def last_words(out_dir: Path) -> str:
    """Return the last line that a run printed: what it says of its failure."""
    lines = (out_dir / CHILD_LOG).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def read_log(out_dir: Path) -> list[dict[str, Any]]:
    """Return the records of `log.jsonl` so far, without a last line that is still being written."""
    try:
        text = (out_dir / "log.jsonl").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.split("\n")[:-1]]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    parent_pid, death_signal, *words = sys.argv[1:] if argv is None else argv
    die_with_parent(int(death_signal))
    if os.getppid() != int(parent_pid):  # it died before the kernel was asked
        sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-m", *words])  # noqa: S606  # replaces this process, no shell


if __name__ == "__main__":
    main()
