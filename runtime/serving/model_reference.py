"""Which models are served, and which a Bento gets: the newest when it is built, and those for ever after."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import bentoml
from _bentoml_sdk.models import BentoModel
from bentoml.exceptions import BentoMLException, NotFound

from runtime.model.card import CardError, check_card
from runtime.model.contract import CONTRACT_FILE, DEFAULT_MODEL, ONNX_FILE, ContractError, read_contract
from runtime.model.hashing import file_sha256
from runtime.model.roles import Role, role_of
from runtime.serving.settings import ServingSettings, SettingsError

HOW_TO_GET_ONE = "run `make demo`, or `make register` after training, to put one there"


class ModelUnavailable(BentoMLException):
    """No model to serve or to build from; BentoML's commands print the message and exit."""


class StaleCard(BentoMLException):
    """The model card that would be packed is not of the model that would be packed."""


class VisionModel(BentoModel):  # type: ignore[misc]  # BentoML's SDK package carries no types
    """One model in the store, as `bentoml build` and `bentoml serve` meet it.

    `card_path` is the card that the Bento gets; building is refused unless it describes the model that is packed. At
    serve time the card plays no part.
    """

    def __init__(self, tag: str, card_path: Path) -> None:
        super().__init__(tag)
        # BentoModel is frozen; BentoML itself sets its attributes this way.
        object.__setattr__(self, "card_path", card_path)

    def to_info(self, alias: str | None = None) -> object:
        """Name the exact version for the Bento's manifest; called by `bentoml build`.

        Raises ModelUnavailable if there is no model, StaleCard if the card is missing or of another model.
        """
        model = find_model(str(self.tag))
        try:
            check_card(self.card_path, file_sha256(Path(model.path_of(ONNX_FILE))))
        except CardError as exc:
            raise StaleCard(f"{exc}, `make register`, then build again") from exc
        return BentoModel(model.tag).to_info(alias)

    def resolve(self, base_path: object = None) -> bentoml.Model:
        """Find the model for serving from source; never asks a remote registry."""
        model = find_model(str(self.tag))
        if base_path is not None:
            BentoModel(model.tag).resolve(base_path)
        return model


def wanted_tags() -> tuple[str, ...]:
    """Tags that the deployment asks for. Raises ModelUnavailable if the environment cannot be used."""
    try:
        return ServingSettings.read().model
    except SettingsError as exc:
        raise ModelUnavailable(str(exc)) from exc


def find_model(tag: str) -> bentoml.Model:
    """Find a model in the local store. Raises ModelUnavailable saying what to run."""
    try:
        return bentoml.models.get(tag)
    except (NotFound, FileNotFoundError) as exc:
        raise ModelUnavailable(f"there is no model '{tag}' in the model store; {HOW_TO_GET_ONE}") from exc


def with_roles(tags: Iterable[str], use: str) -> Iterator[tuple[Role, bentoml.Model]]:
    """Yield the models of these tags in the local store, each with the role that its contract gives it.

    use: what is to be done with them, in the message: 'packed'. Raises ModelUnavailable if a model is missing or has no
    contract.
    """
    for tag in tags:
        model = find_model(tag)
        try:
            role = role_of(read_contract(Path(model.path_of(CONTRACT_FILE))))
        except ContractError as exc:
            raise ModelUnavailable(f"{model.tag} cannot be {use}: {exc}") from exc
        yield role, model


def find_models(bento: bentoml.Bento | None = None) -> dict[Role, bentoml.Model]:
    """Find what the deployment serves or builds, by role: what `bento` holds, else what `VISION_MODEL` names.

    Raises ModelUnavailable if a model is missing or has no contract, two have the same role, or a classifier of crops
    has no detector to cut them.
    """
    found: dict[Role, bentoml.Model] = {}
    tags = wanted_tags()
    for role, model in with_roles(tags if bento is None else _held_tags(bento, tags), "used"):
        if role in found:
            raise ModelUnavailable(
                f"VISION_MODEL={','.join(tags)} names two models for {role}, {found[role].tag} and "
                f"{model.tag}; name at most one of each task"
            )
        found[role] = model
    refuse_lonely_crops(found)
    return found


def refuse_lonely_crops(models: Mapping[Role, bentoml.Model]) -> None:
    """Raise ModelUnavailable for a classifier of crops without a detector that finds what it would classify."""
    if "crop-classification" in models and "detection" not in models:
        raise ModelUnavailable(
            f"{models['crop-classification'].tag} classifies what a detector finds, and there is no detector beside "
            "it: name one in VISION_MODEL, too"
        )


def _held_tags(bento: bentoml.Bento, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of the Bento's models are served: all, unless the deployment names some of them."""
    held = tuple(str(info.tag) for info in bento.info.all_models)
    if wanted == (DEFAULT_MODEL,):
        return held
    if foreign := [tag for tag in wanted if tag not in held]:
        raise ModelUnavailable(
            f"VISION_MODEL={','.join(wanted)}, but this Bento holds {', '.join(held)} and not "
            f"{', '.join(foreign)}; unset it"
        )
    return wanted
