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
from runtime.model.roles import CROP_MODEL_NAME, Role
from runtime.serving.model_reference import ModelUnavailable, StaleCard, find_model, with_roles

TASKS: dict[str, tuple[Task, ...]] = {
    **{task: (task,) for task in MODEL_NAMES}, "both": ("classification", "segmentation"), "all": tuple(MODEL_NAMES)
}  # fmt: skip
_ORDER: tuple[Role, ...] = (*MODEL_NAMES, "crop-classification")
MODEL_VARIABLE = "VISION_MODEL"  # the service that is built reads it, too: runtime/serving/settings.py

Models = Mapping[Role, bentoml.Model]


def models_to_pack(tasks: Collection[Task]) -> dict[Role, bentoml.Model]:
    """Return the models to pack, by role: what `VISION_MODEL` names, else the newest of each of `tasks`.

    With a detector goes a classifier of its crops, if there is one. Raises ModelUnavailable if a model is missing, or
    if those named are not one of each of `tasks` and, with a detector, a classifier of crops.
    """
    named = os.environ.get(MODEL_VARIABLE, "")
    tags = [tag.strip() for tag in named.split(",")] if named else [f"{MODEL_NAMES[task]}:latest" for task in tasks]
    may_hold: set[Role] = {*tasks}
    if "detection" in tasks:
        may_hold.add("crop-classification")
        tags += [] if named else _newest_crop_classifier()
    found: dict[Role, bentoml.Model] = {}
    for role, model in with_roles(tags, "packed"):
        if role in found or role not in may_hold:
            raise ModelUnavailable(
                f"{MODEL_VARIABLE}={named} names {model.tag}, a model of {role}, but one of "
                f"{' and one of '.join(tasks)} is to be packed: unset it, or say --task"
            )
        found[role] = model
    if missing := [task for task in tasks if task not in found]:
        raise ModelUnavailable(f"{MODEL_VARIABLE}={named} names no model of {missing[0]}: unset it, or say --task")
    return {role: found[role] for role in _ORDER if role in found}


def _newest_crop_classifier() -> list[str]:
    """Return its tag, or nothing: a detector is served without one, too."""
    try:
        return [str(find_model(f"{CROP_MODEL_NAME}:latest").tag)]
    except ModelUnavailable:
        return []


def bento_card(project_dir: Path, models: Models) -> str:
    """Return the card of the Bento: each model's own, joined. Raises StaleCard if one is of another model.

    A classifier of crops has its card in the model store alone: what lies in the project is of the task's own model.
    """
    cards = {}
    for role, model in models.items():
        folder = Path(model.path) if role == "crop-classification" else project_dir / ARTIFACTS[role]
        path = folder / "MODEL_CARD.md"
        try:
            check_card(path, file_sha256(Path(model.path_of(ONNX_FILE))), is_alone=True)
            cards[str(model.tag.name)] = path.read_text(encoding="utf-8")
        except CardError as exc:
            raise StaleCard(f"{exc}, `make register`, then build again") from exc
    try:
        return join_cards(cards)
    except CardError as exc:
        raise StaleCard(str(exc)) from exc
