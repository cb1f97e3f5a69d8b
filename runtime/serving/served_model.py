"""What one deployment serves: model, contract, filters and settings, found and checked as one."""

from dataclasses import dataclass
from pathlib import Path

import bentoml

from runtime.answers.filters import FilterChain, FilterError
from runtime.answers.results import ModelIdentity
from runtime.model.contract import CONTRACT_FILE, DEFAULT_MODEL, ONNX_FILE, ContractError, ModelContract, read_contract
from runtime.model.devices import DeviceError
from runtime.model.hashing import file_sha256
from runtime.model.session import Predictor
from runtime.serving.model_reference import ModelUnavailable, find_model
from runtime.serving.settings import ServingSettings, SettingsError


@dataclass(frozen=True)
class ServedModel:
    """A model with everything that the deployment says about it. predictor: None in a process that does not compute."""

    contract: ModelContract
    identity: ModelIdentity
    settings: ServingSettings
    filters: FilterChain
    predictor: Predictor | None


def load_served_model(bento: bentoml.Bento | None, computes: bool = True, device_index: int = 0) -> ServedModel:
    """Load and check what is served: the model that `bento` was built with, else the tag in `VISION_MODEL`.

    computes: whether this process runs it, and not another. Raises ModelUnavailable saying what is wrong and what to
    run.
    """
    try:
        settings = ServingSettings.read()
        model = find_model(settings.model if bento is None else _pinned_tag(bento, settings))
        predictor, folder = None, Path(model.path)
        if computes:
            predictor = Predictor.load(
                folder, settings.device, settings.threads, settings.sessions, device_index, spins=True
            )
            predictor.warm_up()
        contract = predictor.contract if predictor else read_contract(folder / CONTRACT_FILE)
        sha256 = predictor.sha256 if predictor else file_sha256(folder / ONNX_FILE)
        filters = FilterChain.load(contract)
    except (ContractError, DeviceError, FilterError, SettingsError) as exc:
        raise ModelUnavailable(f"cannot serve: {exc}") from exc
    identity = ModelIdentity(name=model.tag.name, version=model.tag.version or "", sha256=sha256)
    return ServedModel(contract, identity, settings, filters, predictor)


def _pinned_tag(bento: bentoml.Bento, settings: ServingSettings) -> str:
    tags = [str(info.tag) for info in bento.info.all_models]
    if settings.model not in (*tags, DEFAULT_MODEL):
        raise SettingsError(f"VISION_MODEL={settings.model}, but this Bento holds {tags[0]}; unset it")
    return tags[0]
