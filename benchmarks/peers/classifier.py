"""The work that every peer does in its own process: the runtime's decoding, session and answer, nothing of its own.

So peers differ from `service.py` in how they take requests, gather batches and run sessions, and in nothing else.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from runtime.answers.results import ModelIdentity, only_predictions, to_predictions
from runtime.model.image import ImageArray
from runtime.model.preprocess import read_for_model
from runtime.model.session import Predictor

MAX_BATCH_SIZE = 32
WINDOW_S = 0.010  # how long servers with a window wait for company
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Options:
    """How a peer is asked to run. sessions: as many as run at once, of `threads` threads each."""

    model_dir: Path
    port: int
    sessions: int
    threads: int

    @classmethod
    def parse(cls, argv: Sequence[str] | None, description: str) -> Self:
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--model-dir", type=Path, required=True)
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--sessions", type=int, default=1)
        parser.add_argument("--threads", type=int, default=1)
        return cls(**vars(parser.parse_args(argv)))


@dataclass(frozen=True)
class Classifier:
    """One session of the model on the CPU."""

    predictor: Predictor
    identity: ModelIdentity

    @classmethod
    def load(cls, model_dir: Path, threads: int) -> Self:
        """Load and warm up. Raises ContractError if there is no model."""
        predictor = Predictor.load(model_dir, device="cpu", threads=threads, spins=True)
        predictor.warm_up()
        return cls(predictor, ModelIdentity(name="benchmark", version="1", sha256=predictor.sha256))

    def decode(self, encoded: bytes) -> ImageArray:
        """Return `(height, width, 3)` uint8 at the model's size. Raises ImageError."""
        return read_for_model(encoded, self.predictor.contract)

    def predict(self, images: Sequence[ImageArray]) -> list[dict[str, object]]:
        """Classify decoded images; answers as they go into JSON."""
        answers = to_predictions(self.predictor.predict(np.stack(images)), self.predictor.contract, self.identity)
        return [answer.model_dump() for answer in only_predictions(answers)]
