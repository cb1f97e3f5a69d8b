"""The last step of `make demo`: serve the Bento as a user would, and ask it about a test picture of each class.

    python demo.py [--bento vision:latest] [--task classification] [--picture PATH]

One request carries the first test picture of each class, in the manifest's order; no answer has a say in the choice.
`artifacts/demo.html` shows them with their answers; that of another task lies in its own folder, such as
`artifacts/detection/demo.html`, and shows masks and outlines, or boxes.
`--picture` asks about one file instead.

The server runs as a process of its own from an empty folder and is gone when this ends, however it ends.
"""

import argparse
import csv
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load.server_process import ServerFailedError, free_port, running, wait_until_ready
from dataset.description import read_max_value
from dataset.manifest import ManifestError
from dataset.outputs.tasks import ARTIFACTS
from demo_answers import Picture, with_boxes, words_beside_truth
from demo_sheet import model_of, render
from project.interruption import INTERRUPTED, remembered
from project.loopback import without_proxies
from runtime.answers.pipeline import PipelineResult
from runtime.answers.results import ModelIdentity, Prediction
from runtime.answers.segmentation import Segmentation
from runtime.model.contract import CONTRACT_FILE, ContractError, ModelContract, Task, read_contract
from runtime.serving.settings import ServingSettings, SettingsError

BAR_WIDTH = 30
FOUND_HEADER: dict[type[Prediction], str] = {Segmentation: "regions", PipelineResult: "objects"}
READY_PROBE = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
FORM_BYTES = 4096  # of a request beside its pictures, and as much again for each: headers of the form's parts
REPORT, CARD, SHEET = "report.html", "MODEL_CARD.md", "demo.html"
ANSWER: dict[Task, type[Prediction]] = {
    "classification": Prediction, "segmentation": Segmentation, "detection": PipelineResult,
}  # fmt: skip
ENDPOINTS: dict[Task, str] = {"classification": "predict", "segmentation": "segment", "detection": "detect"}
WORDS_OF_MAKE: dict[Task, str] = {"segmentation": "segment", "detection": "detect"}  # TASK= of its Makefile
NEXT = """next
  your own pictures   make demo DATA=path/to/pictures
  another picture     .venv/bin/python demo.py --picture path/to/picture.jpg
  serve               .venv/bin/bentoml serve vision:latest
  build an image      make containerize"""


class DemoError(RuntimeError):
    """The Bento could not be served or asked; the message says why and what to run."""


def pictures_of_test_split(manifest_path: Path) -> list[Picture]:
    """Return the first picture of each class that the model was not trained on. Raises DemoError if there is none."""
    first: dict[str, Picture] = {}
    try:
        with manifest_path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("split") == "test":
                    mask = manifest_path.parent / row["mask"] if row.get("mask") else None
                    picture = Picture(manifest_path.parent / row["path"], row["label"], mask)
                    first.setdefault(row["label"], picture)
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


def ask(url: str, paths: Sequence[Path], task: Task) -> list[Prediction]:
    """Send pictures in one request, with the client that BentoML derives from the service; answers in their order."""
    import bentoml

    with without_proxies(), bentoml.SyncHTTPClient(url, server_ready_timeout=0) as client:
        if ENDPOINTS[task] not in client.endpoints:
            held = " or ".join(f"--task {known}" for known, api in ENDPOINTS.items() if api in client.endpoints)
            raise DemoError(f"the Bento holds no model of {task}: say {held}, or build one that does")
        answers = getattr(client, ENDPOINTS[task])(images=list(paths))
    return [ANSWER[task].model_validate(answer) for answer in answers]


def contract_of(model: ModelIdentity) -> ModelContract:
    """Return the contract of a model that answered. Raises ContractError, or DemoError if it has left the store."""
    import bentoml
    from bentoml.exceptions import NotFound

    tag = f"{model.name}:{model.version}"
    try:
        return read_contract(Path(bentoml.models.get(tag).path_of(CONTRACT_FILE)))
    except NotFound as exc:
        raise DemoError(f"{tag} answered, but is in the model store no more: run `make bento` ({exc})") from exc


def describe_one(path: Path, answer: Prediction) -> str:
    """Lay out the answer for a picture of unknown class, most probable class first."""
    lines = [f"picture      {path}", f"answer       {answer.label} ({answer.probability:.1%})"]
    width = max(map(len, answer.probabilities))
    for name, probability in sorted(answer.probabilities.items(), key=lambda item: -item[1]):
        lines.append(f"  {name:<{width}}  {probability:6.1%}  {'#' * round(probability * BAR_WIDTH)}")
    if isinstance(answer, Segmentation):
        lines += [
            f"  {r.label} at {r.box.left}, {r.box.top} to {r.box.right}, {r.box.bottom}: {r.area_px} pixels "
            f"({r.area_share:.2%}), score {r.score:.2f}"
            for r in answer.regions
        ] or ["  no region"]
    elif isinstance(answer, PipelineResult):
        lines += [
            f"  {d.class_name} at {d.box.x1:.0f}, {d.box.y1:.0f} to {d.box.x2:.0f}, {d.box.y2:.0f}, score {d.score:.2f}"
            for d in answer.detections
        ] or ["  no object"]
    return "\n".join(lines)


def describe(pictures: Sequence[Picture], answers: Sequence[Prediction]) -> str:
    """Lay out pictures, true classes and answers as a table."""
    rows: list[tuple[str, ...]] = [("picture", "truth", "answer", "probability")]
    rows += [
        (str(p.path), p.label, a.label, f"{a.probability:.1%}{'' if a.label == p.label else '  wrong'}")
        for p, a in zip(pictures, answers, strict=True)
    ]
    more = [words_beside_truth(p, a) for p, a in zip(pictures, answers, strict=True)]
    if any(more):
        found = [(FOUND_HEADER[type(answers[0])], ""), *(words for words in more if words)]
        rows = [(*row, *words) for row, words in zip(rows, found, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def next_steps(task: Task) -> str:
    """Say what to do next, of the task that was shown."""
    if task == "classification":
        return NEXT
    # `make` alone would build the Bento of a classifier.
    of_task = re.sub(r"make (\w+)", rf"make \1 TASK={WORDS_OF_MAKE[task]}", NEXT)
    return of_task.replace("demo.py", f"demo.py --task {task}")


def summarise(pictures: Sequence[Picture], answers: Sequence[Prediction], num_classes: int, report: Path) -> str:
    """Say how many answers are right, and what that leaves out."""
    num_right = sum(p.label == a.label for p, a in zip(pictures, answers, strict=True))
    left_out = "" if len(pictures) == num_classes else f" (of {num_classes} classes; one request carries no more)"
    return (
        f"{num_right} of {len(pictures)} right ({num_right / len(pictures):.0%}), one picture of each class{left_out}; "
        f"{report} measures the whole test split."
    )


def run(arguments: argparse.Namespace, check: Callable[[], None]) -> int:
    """Serve, ask, print; return the exit status. check: raises KeyboardInterrupt if Ctrl-C was pressed."""
    import bentoml  # takes seconds, in which Ctrl-C shall be one line too
    from bentoml.exceptions import BentoMLException, NotFound

    artifacts = ARTIFACTS[arguments.task]
    folder = Path(tempfile.mkdtemp(prefix="vision-demo-"))
    try:
        own = [Picture(arguments.picture, "")] if arguments.picture else []
        all_pictures = own or pictures_of_test_split(arguments.manifest)
        pictures = in_one_request(all_pictures, ServingSettings.read())
        bento = bentoml.bentos.get(arguments.bento)
        sys.stdout.write(f"serving {bento.tag} from an empty folder, asking it about {len(pictures)} picture(s)\n")
        with serving(str(bento.tag), folder, os.environ, check) as url:
            answers = ask(url, [picture.path for picture in pictures], arguments.task)
        if own:
            printed = describe_one(own[0].path, answers[0])
        else:
            if arguments.task == "detection":
                pictures = with_boxes(pictures, arguments.manifest, contract_of(answers[0].model))
            summary = summarise(pictures, answers, len(all_pictures), artifacts / REPORT)
            page = render(pictures, answers, summary, read_max_value(arguments.manifest.parent))
            artifacts.mkdir(parents=True, exist_ok=True)
            (artifacts / SHEET).write_text(page, encoding="utf-8")
            printed = f"{describe(pictures, answers)}\n{summary}\n\nto look at   {artifacts / SHEET}"
    except (NotFound, FileNotFoundError) as exc:
        sys.stderr.write(f"there is no Bento {arguments.bento}; run `make bento` ({exc})\n")
        return 2
    except (DemoError, BentoMLException, ContractError, ManifestError, SettingsError, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    places = (
        f"report       {artifacts / REPORT}\nmodel card   {artifacts / CARD}\nmodel        {model_of(answers[0])}\n"
        f"Bento        {bento.path}"
    )
    sys.stdout.write(f"\n{printed}\n{places}\n\n{next_steps(arguments.task)}\n")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Serve the Bento and ask it about test pictures.")
    parser.add_argument("--bento", default="vision:latest", help="tag of the Bento")
    parser.add_argument("--task", choices=list(ENDPOINTS), default="classification", help="what it is asked to do")
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
