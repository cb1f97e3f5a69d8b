"""Ask any model for its predictions, so that any can be evaluated: `python -m evaluation.predict`.

    python -m evaluation.predict --model artifacts/export            # an ONNX graph (int8 too) with its contract
    python -m evaluation.predict --url http://127.0.0.1:3000         # a running service

Writes what `training.predict` writes for a checkpoint, the probabilities of all validation and test pictures, and
beside it which model answered (`asked.model.json`). With `--maps DIR`, of a graph that outlines regions, and with
`--boxes DIR`, of one that finds objects, it also writes what `evaluation.evaluate` reads with the same option. The
default is not `artifacts/predictions.csv`, from which report, card and registration of the trained model are made.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import numpy.typing as npt
import pandas as pd

from dataset.manifest import SPLIT_COLUMNS, Manifest, ManifestError, Protocol
from evaluation.asked_model import AskedModel, write_asked_model
from evaluation.document import EvaluationError
from evaluation.picture_files import read_batch
from evaluation.predicted_boxes import PredictedBoxes, boxes_of_outputs, write_boxes
from evaluation.predicted_maps import remove_maps, write_map
from evaluation.predictions import Predictions, PredictionsError
from project.command import UsageError, command
from project.loopback import is_loopback
from project.progress import progress
from project.write_whole import write_whole
from runtime.model.contract import (
    CONTRACT_FILE,
    FOREGROUND,
    PROBABILITIES,
    REGION_MAP,
    ContractError,
    DetectionContract,
    ModelContract,
    Outputs,
    SegmentationContract,
)
from runtime.model.preprocess import placement
from runtime.model.session import Predictor

TIMEOUT_S = 60.0

FloatArray = npt.NDArray[np.float64]


class Answers(NamedTuple):
    """What one model, whose ONNX file has the hash `onnx_sha256`, says of N pictures; probs: `(N, C)`.

    outputs: all that a graph computed of them; empty for the answers of a service.
    """

    classes: tuple[str, ...]
    probs: FloatArray
    onnx_sha256: str
    outputs: Outputs


Ask = Callable[[Sequence[Path]], Answers]
Keep = Callable[[pd.DataFrame, Outputs], None]  # takes the rows of a batch, numbered as the predictions are

logger = logging.getLogger(__name__)


def predict(
    manifest: Manifest, protocol: Protocol, ask: Ask, batch_size: int, keep: Keep | None = None
) -> tuple[Predictions, str]:
    """Return the probabilities of all pictures of val and test, and the SHA-256 of the ONNX file that gave them.

    keep: takes what a graph computed of each batch, for one that says more than probabilities. Raises PredictionsError
    if another model answers from one batch to the next, or the model lacks a class of the data.
    """
    column = SPLIT_COLUMNS[protocol]
    rows = manifest.table[manifest.table[column].isin(["val", "test"])].reset_index(drop=True)
    if not len(rows):
        raise PredictionsError("the manifest has no validation or test picture; run python -m dataset.split")
    files = [manifest.root / path for path in rows["path"]]
    parts: list[Answers] = []
    for start in progress(range(0, len(files), batch_size), "predicting", unit="batch"):
        answers = ask(files[start : start + batch_size])
        if keep:
            keep(rows.iloc[start : start + batch_size], answers.outputs)
        parts.append(answers._replace(outputs={}))
        for before, now in ((parts[0].classes, parts[-1].classes), (parts[0].onnx_sha256, parts[-1].onnx_sha256)):
            if before != now:
                raise PredictionsError(f"the model changed from {before} to {now} while it was asked")
    probs = np.concatenate([part.probs for part in parts])
    return Predictions.from_table(rows.assign(split=rows[column]), probs, parts[0].classes), parts[0].onnx_sha256


def ask_onnx(predictor: Predictor, files: Sequence[Path]) -> Answers:
    """Ask a graph; raises EvaluationError naming a picture that cannot be read."""
    outputs = predictor.predict(read_batch(files, predictor.contract))
    probs = np.asarray(outputs[PROBABILITIES], dtype=np.float64)
    return Answers(predictor.contract.classes, probs, predictor.sha256, outputs)


def ask_service(client: httpx.Client, files: Sequence[Path]) -> Answers:
    """Ask a running service; raises PredictionsError with its message if it refuses or does not answer as ours does."""
    images = [("images", (path.name, _bytes(path))) for path in files]
    try:
        response = client.post("/predict", files=images)
        answers = response.json()
        if response.status_code != httpx.codes.OK:
            raise PredictionsError(f"the service refused {files[0]} to {files[-1]}: {response.status_code} {answers}")
        probabilities = [answer["probabilities"] for answer in answers]
        classes = tuple(probabilities[0])
        probs = np.array([[row[name] for name in classes] for row in probabilities], dtype=np.float64)
        if len(probs) != len(files):
            raise PredictionsError(f"the service at {client.base_url} answered {len(probs)} of {len(files)} pictures")
        models = {str(answer["model"]["sha256"]) for answer in answers}
        if len(models) > 1:
            raise PredictionsError(f"several models answer at {client.base_url}: {', '.join(sorted(models))}")
    except httpx.HTTPError as exc:
        raise PredictionsError(f"the service at {client.base_url} does not answer: {exc}") from exc
    except (ValueError, KeyError, TypeError, IndexError) as exc:
        if isinstance(exc, PredictionsError):
            raise
        raise PredictionsError(f"the service at {client.base_url} gave no predictions: {exc!r}") from exc
    return Answers(classes, probs, models.pop(), {})


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise PredictionsError(f"cannot read the picture {path}: {exc.strerror}") from exc


@contextmanager
def _asking(model_dir: Path, url: str, manifest: Manifest) -> Iterator[tuple[Ask, ModelContract | None]]:
    """Give the one way to ask, and a graph's contract; close it after use."""
    if url:
        with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=not is_loopback(url)) as client:
            yield partial(ask_service, client), None
        return
    predictor = Predictor.load(model_dir)
    trained_on = predictor.contract.lineage.data_sha256
    if trained_on and trained_on != manifest.data_sha256(predictor.contract.task):
        logger.warning("the model was trained on other data or another split: it may have seen these test pictures")
    yield partial(ask_onnx, predictor), predictor.contract


@contextmanager
def _keeping(
    contract: ModelContract | None, model_dir: Path, maps_dir: Path | None, boxes_dir: Path | None
) -> Iterator[Keep | None]:
    """Give what keeps maps or boxes, and write the contract beside them, last: with it all are there.

    Raises PredictionsError if the model in `model_dir` gives none.
    """
    if maps_dir:
        if not isinstance(contract, SegmentationContract):
            raise PredictionsError(f"the model in {model_dir} outlines nothing: leave --maps out")
        (maps_dir / CONTRACT_FILE).unlink(missing_ok=True)
        remove_maps(maps_dir)
        yield partial(_keep_maps, maps_dir)
        write_whole(maps_dir / CONTRACT_FILE, contract.to_json())
    elif boxes_dir:
        if not isinstance(contract, DetectionContract):
            raise PredictionsError(f"the model in {model_dir} finds no boxes: leave --boxes out")
        found: list[PredictedBoxes] = []
        yield partial(_keep_boxes, found, contract)
        write_boxes(boxes_dir, found, contract)
    else:
        yield None


def _keep_maps(folder: Path, rows: pd.DataFrame, outputs: Outputs) -> None:
    for row, region_map, foreground in zip(rows.index, outputs[REGION_MAP], outputs[FOREGROUND], strict=True):
        write_map(folder, int(row), region_map, foreground)


def _keep_boxes(
    found: list[PredictedBoxes], contract: DetectionContract, rows: pd.DataFrame, outputs: Outputs
) -> None:  # fmt: skip
    sizes = zip(rows["width"].tolist(), rows["height"].tolist(), strict=True)
    found += boxes_of_outputs(outputs, [placement(width, height, contract) for width, height in sizes])


def _arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", type=Path, help="directory with model.onnx and contract.json")
    which.add_argument("--url", default="", help="of a running service, such as http://127.0.0.1:3000")
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--protocol", choices=("group", "image"), default="group")
    parser.add_argument("--batch-size", type=int, default=16, help="at most what the service takes in one request")
    parser.add_argument("--maps", type=Path, help="with --model of a segmentation: where its maps go")
    parser.add_argument("--boxes", type=Path, help="with --model of a detection: where its boxes go")
    parser.add_argument("--out", type=Path, default=Path("artifacts/asked.csv"))


@command(_arguments, known=(ContractError, EvaluationError, ManifestError, PredictionsError))
def main(arguments: argparse.Namespace) -> None:
    if arguments.maps and arguments.url:
        raise UsageError("--maps needs a model's folder, --model: a service answers regions and no maps")
    if arguments.boxes and arguments.url:
        raise UsageError("--boxes needs a model's folder, --model: a service answers no box below its threshold")
    if arguments.boxes and arguments.maps:
        raise UsageError("--maps is of segmentation and --boxes of detection: a model has one of both")
    manifest = Manifest.read(arguments.manifest)
    batch_size = max(1, arguments.batch_size)
    with (
        _asking(arguments.model, arguments.url, manifest) as (ask, contract),
        _keeping(contract, arguments.model, arguments.maps, arguments.boxes) as keep,
    ):
        predictions, onnx_sha256 = predict(manifest, arguments.protocol, ask, batch_size, keep)
    # A password in the address is nobody's who reads the report.
    address = str(httpx.URL(arguments.url).copy_with(userinfo=b"")) if arguments.url else str(arguments.model)
    model = AskedModel(asked=address, onnx_sha256=onnx_sha256)
    predictions.write(arguments.out)
    write_asked_model(arguments.out, model)
    logger.info("%d predictions in %s", len(predictions.labels), arguments.out)


if __name__ == "__main__":
    sys.exit(main())
