"""Which models a Bento gets, and the card that it gets with them."""

import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path

import bentoml

from dataset.outputs.tasks import ARTIFACTS
from export.bento_card import join_cards
from export.measured_model import find_measured_model, registered_tags
from export.same_data import shares_pictures
from runtime.model.card import CardError, check_card
from runtime.model.contract import MODEL_NAMES, ONNX_FILE
from runtime.model.hashing import file_sha256
from runtime.model.roles import CROP_MODEL_NAME, ROLE_NAMES, Role
from runtime.serving.model_reference import ModelUnavailable, StaleCard, find_model, with_roles

TASKS: dict[str, tuple[Role, ...]] = {
    **{task: (task,) for task in MODEL_NAMES},
    "crop-classification": ("detection", "crop-classification"),  # alone it would have nothing to look at
    "both": ("classification", "segmentation"),
    "all": tuple(MODEL_NAMES),
}
_BEHIND_A_DETECTOR: tuple[Role, ...] = ("crop-classification",)
_ORDER: tuple[Role, ...] = (*MODEL_NAMES, "crop-classification")
MODEL_VARIABLE = "VISION_MODEL"  # the service that is built reads it, too: runtime/serving/settings.py

Models = Mapping[Role, bentoml.Model]
logger = logging.getLogger(__name__)


def models_to_pack(roles: Collection[Role]) -> dict[Role, bentoml.Model]:
    """Return the models to pack, by role: what `VISION_MODEL` names, else the newest of each of `roles`.

    With a detector goes the newest classifier of crops of the same pictures, if there is one. Raises ModelUnavailable
    if a model is missing, or if those named are not one of each of `roles` and, with a detector, a classifier of crops.
    """
    named = os.environ.get(MODEL_VARIABLE, "")
    if not named:
        return _newest(roles)
    found: dict[Role, bentoml.Model] = {}
    may_hold: set[Role] = {*roles, *_BEHIND_A_DETECTOR} if "detection" in roles else {*roles}
    for role, model in with_roles([tag.strip() for tag in named.split(",")], "packed"):
        if role in found or role not in may_hold:
            raise ModelUnavailable(
                f"{MODEL_VARIABLE}={named} names {model.tag}, a model of {role}, but one of "
                f"{' and one of '.join(roles)} is to be packed: unset it, or say --task"
            )
        found[role] = model
    if missing := [role for role in roles if role not in found]:
        raise ModelUnavailable(f"{MODEL_VARIABLE}={named} names no model of {missing[0]}: unset it, or say --task")
    return {role: found[role] for role in _ORDER if role in found}


def _newest(roles: Collection[Role]) -> dict[Role, bentoml.Model]:
    tags = [f"{ROLE_NAMES[role]}:latest" for role in roles if role not in _BEHIND_A_DETECTOR]
    found = dict(with_roles(tags, "packed"))
    if "detection" in found:
        classifier = _classifier_behind(found["detection"])
        if classifier:
            found["crop-classification"] = classifier
        elif "crop-classification" in roles:
            raise ModelUnavailable(
                f"no {CROP_MODEL_NAME} in the model store was trained on crops of the pictures of "
                f"{found['detection'].tag}: run `make register TASK=crops`"
            )
    return {role: found[role] for role in _ORDER if role in found}


def _classifier_behind(detector: bentoml.Model) -> bentoml.Model | None:
    """Return the newest classifier of crops that may stand behind the detector; None without one.

    Those trained on other pictures are passed over, each with a warning: they name objects that the detector may never
    have seen. One that was stored without what it was measured on cannot be compared, and is taken.
    """
    of = find_measured_model(str(detector.tag))
    for tag in registered_tags("crop-classification"):
        crops = find_measured_model(tag)
        if of is None or crops is None or shares_pictures(crops.manifest, of.manifest):
            return find_model(tag)
        logger.warning("%s is left out: its crops are of other pictures than those of %s", tag, detector.tag)
    return None


def bento_card(project_dir: Path, models: Models) -> str:
    """Return the card of the Bento: each model's own, joined. Raises StaleCard if one is of another model.

    That of a classifier of crops comes from the model store: which one is packed hangs on the detector, and the card in
    the project may be of a later one.
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
