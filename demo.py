"""The last step of `make demo`: serve the Bento as a user would, and ask it about a test picture of each class.

    python demo.py [--bento vision:latest] [--picture PATH]

One request carries the first test picture of each class, in the manifest's order; no answer has a say in the choice.
`artifacts/demo.html` shows them with their answers. `--picture` asks about one file instead.

The server runs as a process of its own from an empty folder and is gone when this ends, however it ends.
"""

import argparse
import base64
import csv
import html
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from pydantic import TypeAdapter

from benchmarks.load.server_process import ServerFailedError, free_port, running, wait_until_ready
from dataset.description import read_max_value
from dataset.manifest import ManifestError
from project.interruption import INTERRUPTED, remembered
from project.loopback import without_proxies
from runtime.answers.results import Prediction
from runtime.model.image import decode_image
from runtime.serving.settings import ServingSettings, SettingsError

BAR_WIDTH = 30
READY_PROBE = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
THUMBNAIL_PX = 240
FORM_BYTES = 4096  # of a request beside its pictures, and as much again for each: headers of the form's parts
REPORT, CARD, SHEET = Path("artifacts/report.html"), Path("artifacts/MODEL_CARD.md"), Path("artifacts/demo.html")
NEXT = """next
  your own pictures   make demo DATA=path/to/pictures
  another picture     .venv/bin/python demo.py --picture path/to/picture.jpg
  serve               .venv/bin/bentoml serve vision:latest
  build an image      .venv/bin/bentoml containerize vision:latest"""
PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>One test picture of each class</title>
<style>
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #1f2933; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }}
figure {{ margin: 0; border: 1px solid #d9e2ec; border-top: 4px solid #2f855a; overflow-wrap: anywhere; }}
figure.wrong {{ border-top-color: #b42318; }}
img {{ display: block; width: 100%; height: 15rem; object-fit: contain; background: #f5f7fa; }}
figcaption {{ padding: .5rem .75rem; }}
small {{ color: #52606d; }}
</style>
<h1>One test picture of each class</h1>
<p>{summary}</p>
<main>
{figures}
</main>
<p><small>{model}</small></p>
</html>
"""


class DemoError(RuntimeError):
    """The Bento could not be served or asked; the message says why and what to run."""


@dataclass(frozen=True)
class Picture:
    """A picture to send; `label` is the true one, empty if it is not known."""

    path: Path
    label: str


def pictures_of_test_split(manifest_path: Path) -> list[Picture]:
    """Return the first picture of each class that the model was not trained on. Raises DemoError if there is none."""
    first: dict[str, Picture] = {}
    try:
        with manifest_path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("split") == "test":
                    first.setdefault(row["label"], Picture(manifest_path.parent / row["path"], row["label"]))
    except OSError as exc:
        raise DemoError(f"cannot read {manifest_path}: {exc.strerror}; run `make data`") from exc
    if not first:
        raise DemoError(f"{manifest_path} has no picture in the test split; run `make data`")
    return list(first.values())


def in_one_request(pictures: Sequence[Picture], settings: ServingSettings) -> list[Picture]:
    """Return as many of the pictures as one request may carry, from the first on; at least one.

    Raises DemoError if a picture is not there.
    """
    chosen: list[Picture] = []
    num_bytes = FORM_BYTES
    for picture in pictures[: settings.max_images_per_request]:
        if not picture.path.is_file():
            raise DemoError(f"there is no picture {picture.path}")
        num_bytes += picture.path.stat().st_size + FORM_BYTES
        if chosen and num_bytes > settings.max_body_bytes:
            break
        chosen.append(picture)
    return chosen


@contextmanager
def serving(
    bento: str, folder: Path, environment: Mapping[str, str], check: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Serve a Bento from `folder` on a free loopback port; yields the URL once `/readyz` answers 200.

    check: called while the server starts; what it raises ends the wait.
    Raises DemoError with the end of the server's log if it does not start. No process is left behind.
    """
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", bento, "--host", "127.0.0.1", "--port", str(port)]
    # The server must find everything in the Bento, so nothing may lead it to the clone.
    clean = {k: v for k, v in environment.items() if k != "PYTHONPATH"} | {"BENTOML_DO_NOT_TRACK": "True"}
    with running(command, folder, clean, os.sched_getaffinity(0)) as server:
        try:
            wait_until_ready(server, port, READY_PROBE, check=check)
        except ServerFailedError as exc:
            raise DemoError(f"{bento} does not start: {exc}") from exc
        yield f"http://127.0.0.1:{port}"


def ask(url: str, paths: Sequence[Path]) -> list[Prediction]:
    """Send pictures in one request, with the client that BentoML derives from the service; answers in their order."""
    import bentoml

    with without_proxies(), bentoml.SyncHTTPClient(url, server_ready_timeout=0) as client:
        answers = client.predict(images=list(paths))
    return TypeAdapter(list[Prediction]).validate_python(answers)


def describe_one(path: Path, answer: Prediction) -> str:
    """Lay out the answer for a picture of unknown class, most probable class first."""
    lines = [f"picture      {path}", f"answer       {answer.label} ({answer.probability:.1%})"]
    width = max(map(len, answer.probabilities))
    for name, probability in sorted(answer.probabilities.items(), key=lambda item: -item[1]):
        lines.append(f"  {name:<{width}}  {probability:6.1%}  {'#' * round(probability * BAR_WIDTH)}")
    return "\n".join(lines)


def describe(pictures: Sequence[Picture], answers: Sequence[Prediction]) -> str:
    """Lay out pictures, true classes and answers as a table."""
    rows = [("picture", "truth", "answer", "probability")]
    rows += [
        (str(p.path), p.label, a.label, f"{a.probability:.1%}{'' if a.label == p.label else '  wrong'}")
        for p, a in zip(pictures, answers, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def summarise(pictures: Sequence[Picture], answers: Sequence[Prediction], num_classes: int) -> str:
    """Say how many answers are right, and what that leaves out."""
    num_right = sum(p.label == a.label for p, a in zip(pictures, answers, strict=True))
    left_out = "" if len(pictures) == num_classes else f" (of {num_classes} classes; one request carries no more)"
    return (
        f"{num_right} of {len(pictures)} right ({num_right / len(pictures):.0%}), one picture of each class{left_out}; "
        f"{REPORT} measures the whole test split."
    )


def render(
    pictures: Sequence[Picture], answers: Sequence[Prediction], summary: str, max_value: int | None = None
) -> str:
    """Return an HTML page that shows the pictures with true class, answer and probability; it needs no other file.

    max_value: white in deep pictures, of the data set's description.
    """
    figures = "\n".join(
        f'<figure{"" if p.label == a.label else " class=wrong"}><img src="{_thumbnail(p.path, max_value)}" alt="">'
        f"<figcaption>is <b>{html.escape(p.label)}</b><br>called <b>{html.escape(a.label)}</b>, {a.probability:.1%}"
        f"<br><small>{html.escape(str(p.path)).replace('/', '/<wbr>')}</small></figcaption></figure>"
        for p, a in zip(pictures, answers, strict=True)
    )
    return PAGE.format(summary=html.escape(summary), figures=figures, model=html.escape(_model_of(answers[0])))


def _model_of(answer: Prediction) -> str:
    return f"{answer.model.name}:{answer.model.version} (ONNX {answer.model.sha256[:12]})"


def _thumbnail(path: Path, max_value: int | None) -> str:
    """Return a small JPEG of a picture as a data URI."""
    image = Image.fromarray(decode_image(path.read_bytes(), at_least=(THUMBNAIL_PX, THUMBNAIL_PX), max_value=max_value))
    image.thumbnail((2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def run(arguments: argparse.Namespace, check: Callable[[], None]) -> int:
    """Serve, ask, print; return the exit status. check: raises KeyboardInterrupt if Ctrl-C was pressed."""
    import bentoml  # takes seconds, in which Ctrl-C shall be one line too
    from bentoml.exceptions import BentoMLException, NotFound

    folder = Path(tempfile.mkdtemp(prefix="vision-demo-"))
    try:
        own = [Picture(arguments.picture, "")] if arguments.picture else []
        all_pictures = own or pictures_of_test_split(arguments.manifest)
        pictures = in_one_request(all_pictures, ServingSettings.read())
        bento = bentoml.bentos.get(arguments.bento)
        sys.stdout.write(f"serving {bento.tag} from an empty folder, asking it about {len(pictures)} picture(s)\n")
        with serving(str(bento.tag), folder, os.environ, check) as url:
            answers = ask(url, [picture.path for picture in pictures])
        if own:
            printed = describe_one(own[0].path, answers[0])
        else:
            summary = summarise(pictures, answers, len(all_pictures))
            SHEET.parent.mkdir(exist_ok=True)
            SHEET.write_text(
                render(pictures, answers, summary, read_max_value(arguments.manifest.parent)), encoding="utf-8"
            )
            printed = f"{describe(pictures, answers)}\n{summary}\n\nto look at   {SHEET}"
    except (NotFound, FileNotFoundError) as exc:
        sys.stderr.write(f"there is no Bento {arguments.bento}; run `make bento` ({exc})\n")
        return 2
    except (DemoError, BentoMLException, ManifestError, SettingsError, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    places = (
        f"report       {REPORT}\nmodel card   {CARD}\nmodel        {_model_of(answers[0])}\nBento        {bento.path}"
    )
    sys.stdout.write(f"\n{printed}\n{places}\n\n{NEXT}\n")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Serve the Bento and ask it about test pictures.")
    parser.add_argument("--bento", default="vision:latest", help="tag of the Bento")
    parser.add_argument("--picture", type=Path, help="an image file, asked instead")
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    try:
        with remembered() as check:
            return run(parser.parse_args(argv), check)
    except KeyboardInterrupt:
        sys.stderr.write("\ndemo: stopped, and the server with it; nothing was changed\n")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
