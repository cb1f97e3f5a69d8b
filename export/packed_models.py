"""Which models a Bento gets, and the card that it gets with them."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

import bentoml

from dataset.outputs.tasks import ARTIFACTS
from export.bento_card import join_cards
from runtime.model.card import CardError, check_card
from runtime.model.contract import MODEL_NAMES, ONNX_FILE, Task
from runtime.model.hashing import file_sha256
from runtime.serving.model_reference import ModelUnavailable, StaleCard, with_tasks

TASKS: dict[str, tuple[Task, ...]] = {
    **{task: (task,) for task in MODEL_NAMES},
    "both": ("classification", "segmentation"),
}
MODEL_VARIABLE = "VISION_MODEL"  # the service that is built reads it, too: runtime/serving/settings.py

Models = Mapping[Task, bentoml.Model]


def models_to_pack(tasks: Collection[Task]) -> dict[Task, bentoml.Model]:
    """Return the models to pack, in the order of `MODEL_NAMES`: what `VISION_MODEL` names, else the newest of each.

    Raises ModelUnavailable if one is missing, or if those named are not one of each of `tasks`.
    """
    named = os.environ.get(MODEL_VARIABLE, "")
    tags = [tag.strip() for tag in named.split(",")] if named else [f"{MODEL_NAMES[task]}:latest" for task in tasks]
    found: dict[Task, bentoml.Model] = {}
    for task, model in with_tasks(tags, "packed"):
        if task in found or task not in tasks:
            raise ModelUnavailable(
                f"{MODEL_VARIABLE}={named} names {model.tag}, a model of {task}, but one of "
                f"{' and one of '.join(tasks)} is to be packed: unset it, or say --task"
            )
        found[task] = model
    if missing := [task for task in tasks if task not in found]:
        raise ModelUnavailable(f"{MODEL_VARIABLE}={named} names no model of {missing[0]}: unset it, or say --task")
    return {task: found[task] for task in MODEL_NAMES if task in found}


def bento_card(project_dir: Path, models: Models) -> str:
    """Return the card of the Bento: each model's own, joined. Raises StaleCard if one is of another model."""
    cards = {}
    for task, model in models.items():
        path = project_dir / ARTIFACTS[task] / "MODEL_CARD.md"
        try:
            check_card(path, file_sha256(Path(model.path_of(ONNX_FILE))), is_alone=True)
            cards[str(model.tag.name)] = path.read_text(encoding="utf-8")
        except CardError as exc:
            raise StaleCard(f"{exc}, `make register`, then build again") from exc
    try:
        return join_cards(cards)
    except CardError as exc:
        raise StaleCard(str(exc)) from exc
