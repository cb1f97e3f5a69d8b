"""One node's part of a run over many: `srun --ntasks-per-node=1 python -m slurm.agent ... -- MODULE [ARGUMENTS]`.

Starts torchrun's elastic agent with one process a GPU (one on a CPU) and meets the agents of the other nodes at
`--head`. SIGTERM, SIGUSR1 and SIGINT are passed on to the processes, which save and leave with status 75. torchrun
itself would turn the signal into a kill after a while and report no status.

Exit status: 75 if the run wants to be requeued, 2 if it has said what to change, 1 otherwise; then the cause is written
to `--failures`, one file a node.
"""

import argparse
import logging
import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError

from project.command import EXPLAINED, command
from project.write_whole import write_whole
from runtime.model.cores import usable_cores
from runtime.model.devices import visible_cuda_devices
from slurm.agent_failure import KILLED, Failure
from slurm.allocation import SlurmError, batch_was_killed, node_address, requeue
from training.process.signals import REQUEUE

LOOK_EVERY_S = 0.2
PASSED_ON = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def reason_of(failure: ProcessFailure) -> str:
    """Return one line: the signal that ended the process, the exception it raised, or its exit status."""
    if failure.exitcode < 0:
        return f"{KILLED}{failure.signal_name()}"
    if failure.error_file == "<N/A>":
        return f"exit status {failure.exitcode}"
    message = failure.error_file_data.get("message")
    message = message.get("message") if isinstance(message, dict) else message
    lines = [line for line in str(message or "").splitlines() if line.strip()]
    # Addresses and process numbers differ though the fault is the same.
    return re.sub(r"0x[0-9a-f]+|\b\d{3,}\b", "N", lines[-1].strip()) if lines else f"exit status {failure.exitcode}"


def num_processes() -> int:
    return max(1, visible_cuda_devices())


def options_of(head: str, run_id: str, nnodes: int, node_id: int, address: str) -> list[str]:
    """Return torchrun's options. head: host:port of the first node, where all meet."""
    return [
        f"--nnodes={nnodes}",
        f"--nproc-per-node={num_processes()}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={head}",
        f"--rdzv-id={run_id}",
        # Told, not guessed: torchrun compares host names, which all nodes of a test cluster share.
        f"--rdzv-conf=is_host={int(node_id == 0)},join_timeout=300",
        f"--local-addr={address}",
        "--max-restarts=0",  # a failed step is started again by the job, which counts
        "--signals-to-handle=SIGQUIT",  # the others are ours
    ]


def _stand_in_for_the_batch_step() -> None:
    """Requeue the job if the batch step, which would do it, was killed: Slurm then ends the job, the agents too.

    Runs in a thread of its own. What it runs inherits the mask, for Slurm's signals go to all processes of a step.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    try:
        if batch_was_killed(os.environ["SLURM_JOB_ID"]) and requeue(os.environ["SLURM_JOB_ID"]):
            sys.stderr.write("the batch step was killed; the job goes back into the queue\n")
    except SlurmError as exc:
        sys.stderr.write(f"{exc}; submit the job again to go on from what is saved\n")


class _Messenger:
    """Signal handler that hands signals to the processes that train: children that torchrun made session leaders."""

    def __init__(self, is_first_node: bool) -> None:
        self.handed_on: set[int] = set()
        self._is_first_node = is_first_node

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del frame
        # At once, for Slurm kills those that take longer than KillWait to save. No daemon: Python waits for it.
        if self._is_first_node and number == signal.SIGTERM and number not in self.handed_on:
            threading.Thread(target=_stand_in_for_the_batch_step).start()
        self.handed_on.add(number)
        if not self._send(number):  # nodes still meet: the processes get it as they start
            threading.Thread(target=self._send_when_started, args=(number,), daemon=True).start()

    def _send_when_started(self, number: int) -> None:
        while not self._send(number):
            time.sleep(LOOK_EVERY_S)

    def _send(self, number: int) -> bool:
        """Return whether there is any process."""
        threads = Path("/proc/self/task").iterdir()
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
        is_sent = False
        for child in children:
            with suppress(ProcessLookupError):  # ended by itself
                if os.getsid(child) == child:
                    os.kill(child, number)
                    is_sent = True
        return is_sent


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--head", required=True, help="host:port where the agents meet")
    parser.add_argument("--run-id", required=True, help="differs between all runs that may share the port")
    parser.add_argument("--failures", type=Path, required=True, help="folder on the shared disk")
    parser.add_argument("command", nargs="+", help="MODULE [ARGUMENTS], after --")


@command(_arguments, logs_to="nothing")
def main(arguments: argparse.Namespace) -> int:
    node, node_id = os.environ["SLURMD_NODENAME"], int(os.environ["SLURM_NODEID"])
    nnodes = int(os.environ["SLURM_STEP_NUM_NODES"])
    # Across machines the processes cannot use the agents' store, which listens for the first node alone (PyTorch 2.15).
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // num_processes())))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the failure is reported below
    options = options_of(arguments.head, arguments.run_id, nnodes, node_id, node_address(node))
    messenger = _Messenger(is_first_node=node_id == 0)
    for number in PASSED_ON:
        signal.signal(number, messenger)
    try:
        torchrun.run(torchrun.parse_args([*options, "-m", "slurm.rank", *arguments.command]))  # type: ignore[no-untyped-call]
    except ChildFailedError as exc:
        rank, first = exc.get_first_failure()
        if first.exitcode == EXPLAINED:
            return EXPLAINED
        # A process that could not listen yet dies of the signal.
        if first.exitcode == REQUEUE or -first.exitcode in messenger.handed_on:
            return REQUEUE
        failure = Failure(node=node, rank=rank, time=first.timestamp, reason=reason_of(first))
        write_whole(arguments.failures / f"{node}.json", failure.model_dump_json())
        sys.stderr.write(f"{node}: rank {rank}: {failure.reason}\n")
        return 1
    except RendezvousError as exc:  # the first node's agent, where all meet, has gone before: its reason counts
        sys.stderr.write(f"{node}: cannot reach the first node's agent any more: {exc}\n")
        return REQUEUE if messenger.handed_on else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
