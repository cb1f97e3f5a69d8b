"""A small server that speaks as much of MLflow's REST API as a run needs, and can be stopped and started again.

MLflow's own takes half a minute to start; what it stores is tested with SQLite elsewhere.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

EXPERIMENT = {"experiment_id": "1", "name": "bento-vision", "lifecycle_stage": "active"}


class StandIn:
    """One experiment with one run. metrics: name -> {step: value}; status: the run's, as its client last said."""

    def __init__(self, artifacts: Path) -> None:
        self.artifacts = artifacts
        self.metrics: dict[str, dict[int, float]] = {}
        self.params: dict[str, str] = {}
        self.status = ""
        self.num_requests = 0
        self.is_silent = False  # takes connections and never answers
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = _Server(("127.0.0.1", self._port), _handler_of(self))
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer's document; None for what is not known."""
        info = {
            "run_id": "r1", "run_uuid": "r1", "experiment_id": "1", "status": self.status, "lifecycle_stage": "active",
            "artifact_uri": self.artifacts.as_uri(),
        }  # fmt: skip
        match path.rpartition("/mlflow/")[2]:
            case "experiments/search":
                return {"experiments": [EXPERIMENT]}
            case "experiments/get-by-name" | "experiments/get":
                return {"experiment": EXPERIMENT}
            case "runs/create":
                self.status = "RUNNING"
                return {"run": {"info": info, "data": {}}}
            case "runs/get":
                return {"run": {"info": info, "data": {}}} if self.status else None
            case "runs/log-batch":
                for point in body.get("metrics", []):
                    self.metrics.setdefault(point["key"], {})[int(point["step"])] = point["value"]
                self.params |= {param["key"]: param["value"] for param in body.get("params", [])}
                return {}
            case "runs/update":
                self.status = body["status"]
                return {"run_info": {**info, "status": self.status}}
            case "metrics/get-history":
                steps = self.metrics.get(body["metric_key"], {})
                return {"metrics": [{"key": body["metric_key"], "value": v, "step": s} for s, v in steps.items()]}
        return None


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True


def _handler_of(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            stand_in.num_requests += 1
            if stand_in.is_silent:
                with suppress(OSError):
                    self.connection.recv(1 << 20)  # until the client gives up
                    self.connection.recv(1)
                return
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            document = stand_in.answer(url.path, body | {k: v[0] for k, v in parse_qs(url.query).items()})
            found = document if document is not None else {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
            data = json.dumps(found).encode()
            self.send_response(404 if document is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815  # as the base class calls them

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def stand_in_for_mlflow(artifacts: Path) -> Iterator[StandIn]:
    stand_in = StandIn(artifacts)
    stand_in.start()
    try:
        yield stand_in
    finally:
        stand_in.stop()
