"""`python -m MODULE` without the seconds that importing PyTorch and the like takes.

A process that has loaded the large packages of others, and nothing of ours, is forked for every call; so is whatever
`python -m ...` that call starts in turn, such as torchrun's processes. Each runs our modules from their first line, in
a folder, an environment and a session of its own. For tests that start many processes and look at what they do; those
of a process's start, of its environment or of what it imports take `subprocess`.

`python -m tests.forking_python SOCKET` is that process; it ends when its standard input does.
"""

import atexit
import importlib
import json
import logging
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from tests.cpu_time import count_elsewhere

REPOSITORY = Path(__file__).parent.parent
PACKAGES = (
    "albumentations", "matplotlib.pyplot", "mlflow", "mlflow.store.db.utils", "mlflow.store.tracking.sqlalchemy_store",
    "optuna", "pandas", "scipy.stats", "sklearn.linear_model", "sklearn.model_selection", "timm", "torch._dynamo",
    "torch.distributed.run", "torchvision", "alembic.command",
)  # fmt: skip
# What is read when a package is loaded holds for all.
FIXED = ("OMP_NUM_THREADS", "MPLCONFIGDIR", "CUDA_VISIBLE_DEVICES", "CXX", "TORCHINDUCTOR_CACHE_DIR")


class ForkingPython:
    """The running process, to be asked by any number of threads. Close it: it ends with what it has started."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forking-")
        self._socket = str(Path(self._folder.name) / "socket")
        command = [sys.executable, "-m", "tests.forking_python", self._socket]
        self._process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def run(
        self, words: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m WORDS`, or `python -c CODE ...`, to its end, as `subprocess.run` would.

        Raises subprocess.TimeoutExpired.
        """
        assert not [name for name in FIXED if environment.get(name) != os.environ.get(name)]
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder, socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(timeout_s)
            asked.connect(self._socket)
            request = {"words": list(words), "cwd": str(cwd), "environment": dict(environment), "folder": folder}
            with asked.makefile("rw") as lines:
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                pid = int(lines.readline())
                try:
                    status, seconds = json.loads(lines.readline())
                except BaseException as exc:  # Ctrl-C among them, which does not reach another session
                    os.killpg(pid, signal.SIGKILL)
                    if isinstance(exc, TimeoutError):
                        raise subprocess.TimeoutExpired(list(words), timeout_s) from exc
                    raise
            count_elsewhere(seconds)
            out, error = (Path(folder, name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(list(words), status, out, error)

    def close(self) -> None:
        self._process.communicate()
        self._folder.cleanup()


@cache
def forking_python() -> ForkingPython:
    """Return this session's one, started when it is first asked for."""
    return ForkingPython()


def close_forking_python() -> None:
    if forking_python.cache_info().currsize:
        forking_python().close()
        forking_python.cache_clear()


class _Popen(subprocess.Popen[bytes]):
    """What `subprocess.Popen` is in a forked process: `python -m ...` is a fork of this one, all else as ever."""

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any,
                       env: Any, *rest: Any) -> None:  # fmt: skip
        words = _module_words(args)
        if words is None or preexec_fn or pass_fds:
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest
            )
            return
        streams, is_session = rest[3:9], rest[-2]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(words, str(cwd or Path.cwd()), dict(os.environ if env is None else env), streams, is_session)
        self._child_created = True
        self._close_pipe_fds(*streams)  # type: ignore[attr-defined]


def _module_words(args: object) -> list[str] | None:
    """Return what follows `-m` in a call of this Python; None for any other command."""
    words = [os.fspath(word) for word in args] if isinstance(args, list | tuple) else []
    if words[:1] == [sys.executable] and "-m" in words[1:3]:
        return words[words.index("-m") + 1 :]
    return None


def _become(
    words: list[str], cwd: str, environment: dict[str, str], streams: Sequence[int], is_session: bool
) -> NoReturn:
    """Be in this fork what `python -m WORDS` would be, as far as our modules can tell, to the end of the process.

    streams: pairs of descriptors as `Popen` has them; of the first the one to read, of the others the one to write.
    """
    status = 1
    try:
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE}:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if is_session:
            os.setsid()
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        for stream, descriptor in enumerate((streams[0], streams[3], streams[5])):
            if descriptor != -1:
                os.dup2(descriptor, stream)
        _forget(logging.getLogger())
        sys.path[:] = [cwd, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *_installed()]
        sys.argv = list(words)
        while (
            words[0] == "training.process.child_run"
        ):  # it would become another program, which this fork can be at once
            words = _bound_to_parent(words)
            sys.argv = list(words)
        if words[0] == "-c":
            sys.argv = ["-c", *words[2:]]
            exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as exc:
        if isinstance(exc.code, str):
            sys.stderr.write(f"{exc.code}\n")
        status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _bound_to_parent(words: list[str]) -> list[str]:
    """Do what `training.process.child_run` does before it becomes another program; return that program's words."""
    import ctypes

    ctypes.CDLL(None).prctl(1, int(words[2]), 0, 0, 0)
    return words[3:]


def _forget(root: logging.Logger) -> None:
    """Forget what the process before this one loaded of ours, and its log's handlers."""
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name != "__main__" and file and not _is_installed(file) and not Path(file).is_relative_to(sys.base_prefix):
            del sys.modules[name]


def _is_installed(file: str) -> bool:
    return "site-packages" in Path(file).parts


def _installed() -> list[str]:
    """Where the standard library and installed packages are found."""
    return [path for path in sys.path if path.startswith(sys.base_prefix) or "site-packages" in path]


def _attend(asked: socket.socket) -> None:
    """Fork for one request, and answer with its number and, at its end, its exit status and CPU seconds."""
    with asked.makefile("rw") as lines:
        request = json.loads(lines.readline())
        pid = os.fork()
        if pid == 0:
            asked.close()
            folder = Path(request["folder"])
            with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as error:
                streams = (os.open(os.devnull, os.O_RDONLY), -1, -1, out.fileno(), -1, error.fileno())
                _become(request["words"], request["cwd"], request["environment"], streams, is_session=True)
        lines.write(f"{pid}\n")
        lines.flush()
        _, status, usage = os.wait4(pid, 0)
        lines.write(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime]) + "\n")
        lines.flush()


def main(path: str) -> None:
    subprocess.Popen = _Popen  # type: ignore[assignment, misc]  # before others take the name
    for package in PACKAGES:
        importlib.import_module(package)
    # One that is no part of Python: PyArrow's allocator has a thread, and sees to forks itself.
    threads = {(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()}
    assert len(threads - {"jemalloc_bg_thd"}) == 1, f"a process with the threads {threads} cannot be forked safely"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while listener in (ready := select.select([listener, sys.stdin], [], [], 1.0)[0]) or not ready:
            if listener in ready:
                asked, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    _attend(asked)
                    os._exit(0)
                asked.close()
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                continue


if __name__ == "__main__":
    main(sys.argv[1])
