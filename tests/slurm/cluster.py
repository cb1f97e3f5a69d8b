"""A Slurm cluster of two single-core nodes on this machine: `python -m tests.slurm.cluster COMMAND [ARGUMENTS]`.

munged, slurmctld and one slurmd a node run as children on free loopback ports, with all state in one temporary folder;
each slurmd, and with it all that it starts, is pinned to a core of its own. Needs Debian's `slurm-wlm` and `munge`, and
root, which the daemons want. The command line runs COMMAND with the cluster up and stops it afterwards.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

NODES = ("node1", "node2")
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
START_TIMEOUT_S = 600  # far above what a start takes
# Seconds after which a silent node counts as dead, and after which a requeued job may start again: short, for tests.
NODE_TIMEOUT_S, REQUEUE_WAIT_S = 8, 5
NODE_MARKS = (b"CLUSTER_NODE=", b"SLURMD_NODENAME=")  # in the environment of daemons (ours) and of tasks (Slurm's)

CONFIGURATION = """\
ClusterName=vision
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/sock,cred_expire={requeue_wait_s}
CryptoType=crypto/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=20
SlurmctldTimeout=30
SlurmdTimeout={node_timeout_s}
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=ALL Default=YES MaxTime=1-0 State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=1-0 State=UP PriorityTier=2
"""


class ClusterError(RuntimeError):
    """The cluster cannot be started; the message says why and ends with what its daemons logged."""


def why_not() -> str:
    """Return what is missing for a cluster here, or an empty string."""
    missing = [name for name in DAEMONS if shutil.which(name, path=_search_path()) is None]
    if missing:
        return f"Slurm is not installed ({', '.join(missing)} missing): apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "Slurm's daemons need root"


class Cluster:
    """The running daemons. environment: what a command needs so that `sbatch` and the like find this cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _search_path()}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all daemons and wait until every node is idle. Raises ClusterError."""
        self._configure()
        key, munge = self.folder / "munge/key", self.folder / "munge"
        munge.mkdir(mode=0o755)
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        files = {name: munge / name for name in ("key-file", "socket", "pid-file", "log-file", "seed-file")}
        files |= {"key-file": key, "socket": munge / "sock"}
        self._spawn("munged", ["-F", "--force", *(f"--{name}={path}" for name, path in files.items())])
        self._wait(lambda: (munge / "sock").exists(), "munged")
        self._spawn("slurmctld", ["-D"])
        for node in NODES:
            self.start_node(node)
        self.wait_idle()

    def wait_idle(self) -> None:
        """Wait until nothing runs on any node. Raises ClusterError."""
        self._wait(lambda: self.num_idle() == len(NODES), "the nodes")

    def dead_nodes(self) -> list[str]:
        return [node for node in NODES if node not in self._daemons]

    def start_node(self, node: str, without: Path | None = None) -> None:
        """Start a node. without: a folder that is empty for the node, as if its disk were not mounted there."""
        (self.folder / f"spool.{node}").mkdir(exist_ok=True)
        hide = ["unshare", "-m", "bash", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(without)] if without else []
        self._spawn("slurmd", ["-D", "-N", node], node, hide)

    def restart_node(self, node: str, without: Path | None = None) -> None:
        self.kill_node(node)
        self.start_node(node, without)
        self.wait_idle()

    def kill_node(self, node: str) -> None:
        """End a node as if its power failed: its slurmd and all that it started."""
        daemon = self._daemons.pop(node)
        # All are stopped before the first is killed: a step's daemon would report the death of its tasks as a failure.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in self._processes():
                if not {mark + node.encode() for mark in NODE_MARKS}.isdisjoint(_environ(pid)):
                    _signal(pid, number)
        daemon.wait()

    def num_idle(self) -> int:
        done = subprocess.run(
            ["sinfo", "-h", "-t", "idle", "-o", "%D"], env=self.environment, capture_output=True, text=True
        )
        return sum(map(int, done.stdout.split()))

    def stop(self) -> None:
        """Stop the daemons and whatever they started, by process id."""
        subprocess.run(["scancel", "--me", "--quiet"], env=self.environment, capture_output=True, timeout=120)
        for name in (*NODES, "slurmctld", "munged"):
            if (daemon := self._daemons.pop(name, None)) is not None:
                daemon.terminate()
                try:
                    daemon.wait(60)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
        for pid in self._processes():  # steps outlive their slurmd
            _signal(pid, signal.SIGKILL)

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log")))

    def _configure(self) -> None:
        host = socket.gethostname().split(".")[0]
        ports = _free_ports(1 + len(NODES))
        text = CONFIGURATION.format(
            host=host, controller_port=ports[0], folder=self.folder, node_timeout_s=NODE_TIMEOUT_S,
            requeue_wait_s=REQUEUE_WAIT_S,
        )  # fmt: skip
        for node, port in zip(NODES, ports[1:], strict=True):
            text += f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=4000\n"
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "state").mkdir()

    def _spawn(self, program: str, arguments: list[str], name: str = "", before: Sequence[str] = ()) -> None:
        # With whoever started the cluster, however that ends.
        command = [
            "setpriv",
            "--pdeathsig",
            "TERM",
            *before,
            str(shutil.which(program, path=_search_path())),
            *arguments,
        ]
        cores = sorted(os.sched_getaffinity(0))
        core = cores[NODES.index(name) % len(cores)] if name in NODES else None
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        output = (self.folder / f"{name or program}.out").open("ab")
        with output:
            self._daemons[name or program] = subprocess.Popen(
                command,
                env={**self.environment, "CLUSTER_NODE": name},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C at the terminal must not reach the daemons before `stop` does
            )

    def _wait(self, is_ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_ready():
            ended = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise ClusterError(f"{what} did not come up; ended: {ended}\n{self.logs()}")
            time.sleep(0.1)

    def _processes(self) -> Iterator[int]:
        """All processes that know this cluster but are neither this process nor its ancestors."""
        own = f"SLURM_CONF={self.folder / 'slurm.conf'}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and own in _environ(int(entry.name)):
                yield int(entry.name)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a cluster and stop it at the end. Raises ClusterError."""
    if reason := why_not():
        raise ClusterError(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: munge's socket is in it
    folder.chmod(0o755)
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _search_path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def main(argv: list[str] | None = None) -> int:
    command = sys.argv[1:] if argv is None else argv
    if not command:
        sys.stderr.write("usage: python -m tests.slurm.cluster COMMAND [ARGUMENTS]\n")
        return 2
    try:
        with running_cluster() as cluster:
            return subprocess.run(command, env=cluster.environment).returncode
    except ClusterError as exc:
        sys.stderr.write(f"cluster: {exc}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
