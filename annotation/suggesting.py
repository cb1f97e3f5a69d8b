"""Ask the newest model of the store what is in pictures that are to be labelled."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bentoml
import numpy as np

from annotation.template import names_of, newest_model
from project.progress import progress
from runtime.answers.classification import ModelIdentity
from runtime.answers.results import ANSWERS
from runtime.label_studio.suggestions import model_version, suggest, unknown_names
from runtime.label_studio.template import Template
from runtime.model.contract import Task
from runtime.model.preprocess import read_placed
from runtime.model.session import Predictor

_BATCH = 8


class Suggested(NamedTuple):
    """What the model says of one picture. suggestion: in Label Studio's form, None where it says nothing."""

    file: Path
    suggestion: dict[str, Any] | None


class Suggester:
    """The newest model of a task, and what it says of pictures for one template."""

    def __init__(self, model: bentoml.Model, template: Template) -> None:
        """Load the model. Raises ContractError if it cannot be."""
        self._predictor = Predictor.load(Path(model.path))
        self._identity = ModelIdentity(
            name=model.tag.name, version=model.tag.version or "", sha256=self._predictor.sha256
        )
        self._template = template

    @property
    def version(self) -> str:
        """What Label Studio calls the model."""
        return model_version(self._identity)

    @property
    def unknown(self) -> list[str]:
        """The model's names that the template does not have, so that they are never suggested."""
        return unknown_names(names_of(self._predictor.contract), self._template)

    def of(self, files: Sequence[Path]) -> Iterator[Suggested]:
        """Yield what the model says of each picture, in order. Raises ImageError for one that cannot be decoded."""
        starts = range(0, len(files), _BATCH)
        for start in progress(starts, "asking the model", unit="batch"):
            chunk = files[start : start + _BATCH]
            contract = self._predictor.contract
            placed = [read_placed(file.read_bytes(), contract) for file in chunk]
            outputs = self._predictor.predict(np.stack([pixels for pixels, _ in placed]))
            places = [place for _, place in placed]
            answers = ANSWERS[contract.task](outputs, places, contract, self._identity)
            for file, answer in zip(chunk, answers, strict=True):
                yield Suggested(file, suggest(answer, self._template) if answer else None)


def find_suggester(task: Task, template: Template) -> Suggester | None:
    """Return the newest model of a task, None if the store has none. Raises ContractError if it cannot be loaded."""
    model = newest_model(task)
    return Suggester(model, template) if model else None
