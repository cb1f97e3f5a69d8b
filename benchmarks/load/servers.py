"""Who is compared: how each server is started, what it is sent, and why one is left out."""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import triton
from benchmarks.workload import Form

PROJECT_DIR = Path(__file__).parents[2]
OURS = "bento-vision"
NO_TELEMETRY = {
    "BENTOML_DO_NOT_TRACK": "True",  # BentoML takes no other word, "1" included
    "DO_NOT_TRACK": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "ORT_DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True)
class Served:
    """What all servers serve alike, and how: `sessions` at once, each of `threads` threads."""

    bento: str  # a tag, or the folder of the project
    model_dir: Path  # with the Bento's own ONNX file
    sessions: int
    threads: int


@dataclass(frozen=True)
class Server:
    """One server. shape: sessions and threads in words. missing: why it cannot run here, None if it can."""

    name: str
    shape: str
    command: list[str]
    environment: dict[str, str]
    form: Form
    missing: str | None


def servers(served: Served, port: int, folder: Path) -> list[Server]:
    """Return ours and all peers, each to be started on `port`; what peers write goes under `folder`."""
    each = f"{served.sessions} x {served.threads} thread" + ("s" if served.threads > 1 else "")
    cores = served.sessions * served.threads
    arguments = [f"--model-dir={served.model_dir}", f"--port={port}"]
    arguments += [f"--sessions={served.sessions}", f"--threads={served.threads}"]

    def peer(name: str, module: str, package: str, form: Form = Form.MULTIPART, missing: str | None = None) -> Server:
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", *arguments]
        return Server(name, each, command, _peer_environment(folder), form, _not_installed(package) or missing)

    def stock(name: str, workers: int, threads: int) -> Server:
        command = _bentoml("benchmarks.peers.stock_bentoml:Stock", port)
        options = _stock_options(served.model_dir, workers, threads)
        shape = f"{workers} x {threads} thread" + ("s" if threads > 1 else "")
        return Server(name, shape, command, _peer_environment(folder) | options, Form.MULTIPART, None)

    # The Bento must find everything in itself, so nothing may lead it to the clone. Its settings are its defaults.
    ours = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | NO_TELEMETRY | {"VISION_DEVICE": "cpu"}
    return [
        Server(OURS, "as deployed", _bentoml(served.bento, port), ours, Form.MULTIPART, None),
        stock("stock BentoML", workers=1, threads=cores),
        stock("stock BentoML, a worker a core", workers=served.sessions, threads=served.threads),
        peer("FastAPI, 10 ms window", "window_queue", "fastapi"),
        peer("LitServe, 10 ms window", "lit_serve", "litserve"),
        peer("Ray Serve, 10 ms window", "ray_serve", "ray"),
        peer("Triton, Python backend", "triton", "numpy", Form.TRITON, triton.missing_part(triton.FOLDER)),
    ]


def _stock_options(model_dir: Path, workers: int, threads: int) -> dict[str, str]:
    """Name by the environment what `stock_bentoml.py` reads; importing it here would load BentoML."""
    return {
        "BENCHMARK_MODEL_DIR": str(model_dir),
        "BENCHMARK_WORKERS": str(workers),
        "BENCHMARK_THREADS": str(threads),
    }


def _bentoml(what: str, port: int) -> list[str]:
    return [sys.executable, "-m", "bentoml", "serve", what, "--host", "127.0.0.1", "--port", str(port)]


def _peer_environment(folder: Path) -> dict[str, str]:
    homes = {"HOME": str(folder), "BENTOML_HOME": str(folder / "bentoml")}  # Ray and BentoML write there
    return dict(os.environ) | NO_TELEMETRY | homes | {"PYTHONPATH": str(PROJECT_DIR)}


def _not_installed(package: str) -> str | None:
    found = importlib.util.find_spec(package)
    return None if found else f"{package} is not installed (`requirements/install.sh bench` installs it)"
