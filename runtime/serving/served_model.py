"""What one deployment serves: models, contracts, filters and settings, found and checked as one."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import bentoml

from runtime.answers.filters import FilterChain, FilterError
from runtime.answers.outputs import Row, to_rows
from runtime.answers.results import ModelIdentity
from runtime.model.contract import (
    CONTRACT_FILE,
    ONNX_FILE,
    ContractError,
    ModelContract,
    Task,
    read_contract,
)
from runtime.model.devices import DeviceError
from runtime.model.hashing import file_sha256
from runtime.model.image import ImageArray
from runtime.model.session import Predictor
from runtime.serving.model_reference import ModelUnavailable, find_models
from runtime.serving.settings import ServingSettings, SettingsError


@dataclass(frozen=True)
class ServedModel:
    """A model with everything that the deployment says about it. predictor: None in a process that does not compute."""

    contract: ModelContract
    identity: ModelIdentity
    settings: ServingSettings
    filters: FilterChain
    predictor: Predictor | None

    def compute(self, images_nhwc: ImageArray) -> list[Row]:
        """Run the graph in this process: `Predictor.predict`, image by image."""
        assert self.predictor is not None  # a front's batcher does not ask
        return to_rows(self.predictor.predict(images_nhwc))


def load_served_models(
    bento: bentoml.Bento | None, computes: bool = True, device_index: int = 0
) -> dict[Task, ServedModel]:
    """Load and check what is served, by task: the models of `bento`, else those that `VISION_MODEL` names.

    computes: whether this process runs them, and not another. Raises ModelUnavailable saying what is wrong and what to
    run.
    """
    try:
        settings = ServingSettings.read()
        found = find_models(bento)
        # Threads that wait by spinning would take the cores from another model's.
        load = partial(_load, settings=settings, computes=computes, device_index=device_index, spins=len(found) == 1)
        return {task: load(model) for task, model in found.items()}
    except (ContractError, DeviceError, FilterError, SettingsError) as exc:
        raise ModelUnavailable(f"cannot serve: {exc}") from exc


def _load(
    model: bentoml.Model, settings: ServingSettings, computes: bool, device_index: int, spins: bool
) -> ServedModel:
    predictor, folder = None, Path(model.path)
    if computes:
        # Each model has a session for every core, also where there are two: docs/BATCHING.md.
        predictor = Predictor.load(folder, settings.device, settings.threads, settings.sessions, device_index, spins)
        predictor.warm_up()
    contract = predictor.contract if predictor else read_contract(folder / CONTRACT_FILE)
    sha256 = predictor.sha256 if predictor else file_sha256(folder / ONNX_FILE)
    identity = ModelIdentity(name=model.tag.name, version=model.tag.version or "", sha256=sha256)
    return ServedModel(contract, identity, settings, FilterChain.load(contract), predictor)
