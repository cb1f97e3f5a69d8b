"""What one deployment serves: model, contract, filters and settings, found and checked as one."""

from dataclasses import dataclass
from pathlib import Path

import bentoml

from runtime.contract import ContractError, ModelContract
from runtime.filters import FilterChain, FilterError
from runtime.model_reference import ModelUnavailable, find_model
from runtime.results import ModelIdentity
from runtime.session import Predictor
from runtime.settings import ServingSettings, SettingsError


@dataclass(frozen=True)
class ServedModel:
    """A model that can answer, with everything that the deployment says about it."""

    predictor: Predictor
    identity: ModelIdentity
    settings: ServingSettings
    filters: FilterChain

    @property
    def contract(self) -> ModelContract:
        return self.predictor.contract


def load_served_model(bento: bentoml.Bento | None) -> ServedModel:
    """Load and check what is served: the model that `bento` was built with, else the tag in `VISION_MODEL`.

    Raises ModelUnavailable saying what is wrong and what to run.
    """
    try:
        settings = ServingSettings.read()
        model = find_model(settings.model if bento is None else _pinned_tag(bento, settings))
        predictor = Predictor.load(Path(model.path), settings.device, settings.threads, settings.sessions)
        filters = FilterChain.load(predictor.contract)
        predictor.warm_up()
    except (ContractError, SettingsError, FilterError) as exc:
        raise ModelUnavailable(f"cannot serve: {exc}") from exc
    identity = ModelIdentity(name=model.tag.name, version=model.tag.version or "", sha256=predictor.sha256)
    return ServedModel(predictor, identity, settings, filters)


def _pinned_tag(bento: bentoml.Bento, settings: ServingSettings) -> str:
    tags = [str(info.tag) for info in bento.info.all_models]
    if settings.model not in (*tags, ServingSettings.model_fields["model"].default):
        raise SettingsError(f"VISION_MODEL={settings.model}, but this Bento holds {tags[0]}; unset it")
    return tags[0]
