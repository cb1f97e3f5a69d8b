"""Run a checkpoint over validation and test pictures: `python -m training.predict`.

Writes one CSV row a picture with the probability of every class; evaluation reads nothing else of the model.
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dataset.manifest import SPLIT_COLUMNS, Manifest, Protocol
from dataset.outputs.pipeline import announce
from evaluation.predictions import Predictions, PredictionsError
from project.command import command
from training.data.tensors import PictureDataset
from training.network.classifier import load_classifier
from training.process.distributed import single_worker
from training.process.memory import keep_freed_memory
from training.run.checkpoint import Checkpoint
from training.run.known_errors import KNOWN_ERRORS
from training.run.loop import run_model

BATCH_SIZE = 32
logger = logging.getLogger(__name__)


def predict(manifest: Manifest, protocol: Protocol, checkpoint: Checkpoint) -> Predictions:
    """Return the probabilities of all pictures of val and test, softmax(logits / temperature)."""
    contract = checkpoint.contract
    column = SPLIT_COLUMNS[protocol]
    rows = manifest.table[manifest.table[column].isin(["val", "test"])].reset_index(drop=True)
    rows = rows.assign(split=rows[column])
    this = single_worker()
    model = load_classifier(contract, checkpoint.state_dict).to(this.device)
    dataset = PictureDataset(Manifest(rows, manifest.root), contract)
    logits = run_model(model, dataset, BATCH_SIZE, this, "predict").logits
    probs = torch.from_numpy(logits.astype(np.float64) / contract.temperature).softmax(dim=1).numpy()
    return Predictions.from_table(pd.DataFrame(rows), probs, contract.classes)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, default=Path("data/manifest.csv"))
    parser.add_argument("--checkpoint", type=Path, default=Path("artifacts/training/checkpoint.pt"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/predictions.csv"))
    parser.add_argument("--protocol", choices=("group", "image"), default="group")


@command(_arguments, known=(*KNOWN_ERRORS, PredictionsError))
def main(arguments: argparse.Namespace) -> None:
    keep_freed_memory()
    predictions = predict(Manifest.read(arguments.manifest), arguments.protocol, Checkpoint.load(arguments.checkpoint))
    predictions.write(arguments.out)
    logger.info("%d predictions in %s", len(predictions.labels), arguments.out)


if __name__ == "__main__":
    announce("training.predict")
    sys.exit(main())
