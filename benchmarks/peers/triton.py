"""Triton: its server with the Python backend, the only one in the wheel; dynamic batching, an instance a session.

    python -m benchmarks.peers.triton --model-dir DIR --port 8000

The server's files lie in the folder `triton` of the environment, put there by `requirements/install.sh bench`, with the
NumPy 1 that its backend was built for; all else comes from the environment. This process lays out a model repository in
the working directory and becomes the server.
"""

import os
import shutil
import stat
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks.peers.classifier import HOST, MAX_BATCH_SIZE, WINDOW_S, Options

FOLDER = Path(sys.prefix) / "triton"
_STUB = "triton_python_backend_stub"
_CONFIG = """\
name: "vision"
backend: "python"
max_batch_size: {max_batch_size}
input [{{ name: "image" data_type: TYPE_STRING dims: [1] }}]
output [{{ name: "answer" data_type: TYPE_STRING dims: [1] }}]
dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}
instance_group [{{ kind: KIND_CPU count: {sessions} }}]
parameters: {{ key: "model_dir" value: {{ string_value: "{model_dir}" }} }}
parameters: {{ key: "threads" value: {{ string_value: "{threads}" }} }}
"""


def write_repository(folder: Path, options: Options) -> None:
    """Lay out `folder/vision` with its configuration and `1/model.py`."""
    (folder / "vision" / "1").mkdir(parents=True)
    shutil.copyfile(Path(__file__).with_name("triton_model.py"), folder / "vision" / "1" / "model.py")
    config = _CONFIG.format(
        max_batch_size=MAX_BATCH_SIZE,
        delay_us=round(WINDOW_S * 1e6),
        sessions=options.sessions,
        model_dir=options.model_dir,
        threads=options.threads,
    )
    (folder / "vision" / "config.pbtxt").write_text(config, encoding="utf-8")


def missing_part(folder: Path) -> str | None:
    """Say what keeps Triton from running here, None if nothing does."""
    if not _server_in(folder).is_file():
        return f"there is no Triton in {folder} (`requirements/install.sh bench` puts it there)"
    library = Path(sysconfig.get_config_var("LIBDIR") or "") / (sysconfig.get_config_var("INSTSONAME") or "")
    # The backend's interpreter is this Python as a shared library.
    return None if library.suffix != ".a" and library.is_file() else f"this Python has no shared library ({library})"


def _server_in(folder: Path) -> Path:
    return folder / "pytriton" / "tritonserver" / "bin" / "tritonserver"


def _copy_backends(triton: Path, target: Path) -> None:
    """Put the backend and the stub for this Python together, as the wheel's own launcher does."""
    source = triton / "pytriton" / "tritonserver"
    shutil.copytree(source / "backends", target)
    stub = target / "python" / _STUB
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copyfile(source / "python_backend_stubs" / version / _STUB, stub)
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)


def _become(program: str, command: list[str], environment: dict[str, str]) -> NoReturn:
    os.execve(program, command, environment)  # noqa: S606 - no shell, our own arguments


def main(argv: Sequence[str] | None = None) -> int:
    options = Options.parse(argv, "Serve with Triton.")
    if missing := missing_part(FOLDER):
        sys.stderr.write(f"triton: {missing}\n")
        return 2
    write_repository(Path("models"), options)
    _copy_backends(FOLDER, Path("backends"))
    libraries = [sysconfig.get_config_var("LIBDIR"), str(FOLDER / "nvidia_pytriton.libs")]
    paths = [str(FOLDER), os.environ.get("PYTHONPATH", ""), sysconfig.get_path("purelib")]
    environment = dict(os.environ) | {
        "LD_LIBRARY_PATH": ":".join(libraries),
        "PYTHONPATH": ":".join(filter(None, paths)),
    }
    server = str(_server_in(FOLDER))
    command = [server, "--model-repository=models", "--backend-directory=backends", "--log-error=true"]
    command += [f"--http-address={HOST}", f"--http-port={options.port}", "--allow-grpc=false", "--allow-metrics=false"]
    return _become(server, command, environment)


if __name__ == "__main__":
    sys.exit(main())
