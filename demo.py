"""The last step of `make demo`: serve the Bento as a user would, send it a picture, print the answer.

    python demo.py [--bento vision:latest] [--picture PATH]

The server runs as a process of its own from an empty folder and is gone when this ends, however it ends.
"""

import argparse
import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter
from tqdm import tqdm

from runtime.answers.results import Prediction
from runtime.interruption import INTERRUPTED, remembered
from runtime.loopback import without_proxies

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 20
POLL_INTERVAL_S = 0.2
LOG_TAIL_LINES = 30
BAR_WIDTH = 30
REPORT, CARD = Path("artifacts/report.html"), Path("artifacts/MODEL_CARD.md")


class DemoError(RuntimeError):
    """The Bento could not be served or asked; the message says why and what to run."""


@dataclass(frozen=True)
class Picture:
    """A picture to send; `label` is the true one, empty if it is not known."""

    path: Path
    label: str


def picture_of_test_split(manifest_path: Path) -> Picture:
    """Return the first picture that the model was not trained on. Raises DemoError if there is none."""
    try:
        with manifest_path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("split") == "test":
                    return Picture(manifest_path.parent / row["path"], row["label"])
    except OSError as exc:
        raise DemoError(f"cannot read {manifest_path}: {exc.strerror}; run `make data`") from exc
    raise DemoError(f"{manifest_path} has no picture in the test split; run `make data`")


@contextmanager
def serving(
    bento: str, folder: Path, environment: Mapping[str, str], check: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Serve a Bento from `folder` on a free loopback port; yields the URL once `/readyz` answers 200.

    check: called while the server starts; what it raises ends the wait.
    Raises DemoError with the end of the server's log if it does not start. No process is left behind.
    """
    port = _free_port()
    command = [sys.executable, "-m", "bentoml", "serve", bento, "--host", "127.0.0.1", "--port", str(port)]
    log_path = folder / "server.log"
    # The server must find everything in the Bento, so nothing may lead it to the clone.
    clean = {k: v for k, v in environment.items() if k != "PYTHONPATH"} | {"BENTOML_DO_NOT_TRACK": "True"}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=clean, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, log_path, bento, check)
        yield url
    finally:
        _stop(process)


def ask(url: str, picture_path: Path) -> Prediction:
    """Send one picture with the client that BentoML derives from the service."""
    import bentoml

    with without_proxies(), bentoml.SyncHTTPClient(url, server_ready_timeout=0) as client:
        answers = client.predict(images=[picture_path])
    return TypeAdapter(list[Prediction]).validate_python(answers)[0]


def describe(picture: Picture, answer: Prediction) -> str:
    """Lay the answer out for a person, most probable class first."""
    lines = [f"picture      {picture.path}", f"true label   {picture.label or 'not known'}"]
    is_wrong = picture.label not in ("", answer.label)
    mark = ", which is wrong: the model card says what is taken for what" if is_wrong else ""
    lines.append(f"answer       {answer.label} ({answer.probability:.1%}){mark}")
    width = max(map(len, answer.probabilities))
    for name, probability in sorted(answer.probabilities.items(), key=lambda item: -item[1]):
        lines.append(f"  {name:<{width}}  {probability:6.1%}  {'#' * round(probability * BAR_WIDTH)}")
    lines.append(f"model        {answer.model.name}:{answer.model.version} (ONNX {answer.model.sha256[:12]})")
    return "\n".join(lines)


def _wait_until_ready(
    url: str, process: subprocess.Popen[bytes], log_path: Path, bento: str, check: Callable[[], None]
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy reaches our own loopback
    with tqdm(desc=f"starting {bento}", unit=" checks", bar_format="{desc} {elapsed}", disable=None) as progress:
        while process.poll() is None and time.monotonic() < deadline:
            check()
            try:
                with direct.open(f"{url}/readyz", timeout=START_TIMEOUT_S):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(POLL_INTERVAL_S)
            progress.update()
    reason = "does not start" if process.poll() is not None else f"is not ready after {START_TIMEOUT_S} s"
    tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    raise DemoError(f"{bento} {reason}; the end of its log:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, then make sure of its whole process group, which is ours alone."""
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(arguments: argparse.Namespace, check: Callable[[], None]) -> int:
    """Serve, ask, print; return the exit status. check: raises KeyboardInterrupt if Ctrl-C was pressed."""
    import bentoml  # takes seconds, in which Ctrl-C shall be one line too
    from bentoml.exceptions import BentoMLException, NotFound

    folder = Path(tempfile.mkdtemp(prefix="vision-demo-"))
    try:
        picture = Picture(arguments.picture, "") if arguments.picture else picture_of_test_split(arguments.manifest)
        if not picture.path.is_file():
            raise DemoError(f"there is no picture {picture.path}")
        bento = bentoml.bentos.get(arguments.bento)
        sys.stdout.write(f"serving {bento.tag} from an empty folder\n")
        with serving(str(bento.tag), folder, os.environ, check) as url:
            answer = ask(url, picture.path)
    except (NotFound, FileNotFoundError) as exc:
        sys.stderr.write(f"there is no Bento {arguments.bento}; run `make bento` ({exc})\n")
        return 2
    except (DemoError, BentoMLException, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(
        f"\n{describe(picture, answer)}\n\nreport       {REPORT}\nmodel card   {CARD}\nBento        {bento.path}\n"
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Serve the Bento and ask it about one picture.")
    parser.add_argument("--bento", default="vision:latest", help="tag of the Bento")
    parser.add_argument("--picture", type=Path, help="an image file; else one of the test split")
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    try:
        with remembered() as check:
            return run(parser.parse_args(argv), check)
    except KeyboardInterrupt:
        sys.stderr.write("\ndemo: stopped, and the server with it; nothing was changed\n")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
