"""What one deployment serves: models, contracts, filters and settings, found and checked as one."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import bentoml
import numpy as np

from runtime.answers.filters import FilterChain, FilterError
from runtime.answers.outputs import Row, to_rows
from runtime.answers.results import ModelIdentity
from runtime.image_filters.looking import ImageFilters
from runtime.model.contract import (
    CONTRACT_FILE,
    ONNX_FILE,
    ContractError,
    ModelContract,
    SegmentationContract,
    read_contract,
)
from runtime.model.devices import DeviceError
from runtime.model.hashing import file_sha256
from runtime.model.image import ImageArray
from runtime.model.roles import Role
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
    image_filters: ImageFilters = field(default_factory=ImageFilters)

    def compute(self, images_nhwc: ImageArray) -> list[Row]:
        """Run the graph in this process: `Predictor.predict`, image by image."""
        assert self.predictor is not None  # a front's batcher does not ask
        return to_rows(self.predictor.predict(images_nhwc))


def load_served_models(
    bento: bentoml.Bento | None, computes: bool = True, device_index: int = 0
) -> dict[Role, ServedModel]:
    """Load and check what is served, by role: the models of `bento`, else those that `VISION_MODEL` names.

    computes: whether this process runs them, and not another. Raises ModelUnavailable saying what is wrong and what to
    run.
    """
    try:
        settings = ServingSettings.read()
        found = find_models(bento)
        # Threads that wait by spinning would take the cores from another model's.
        load = partial(_load, settings=settings, computes=computes, device_index=device_index, spins=len(found) == 1)
        served = {role: load(model) for role, model in found.items()}
        _refuse_beside_a_detector(served)
        return served
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
    return ServedModel(contract, identity, settings, FilterChain.load(contract), predictor, ImageFilters.load(contract))


def _refuse_beside_a_detector(served: Mapping[Role, ServedModel]) -> None:
    """Raise ContractError for a model that would look at the one decoded picture of /detect in another way."""
    detector, segmenter = served.get("detection"), served.get("segmentation")
    if detector is None:
        return
    crops = served.get("crop-classification")
    # One that states no range may have been trained on crops of 8 bits.
    if crops and crops.contract.max_value not in (None, detector.contract.max_value):
        raise ContractError(
            f"the classifier of crops states a range of deep pictures (max_value {crops.contract.max_value}), and "
            f"/detect decodes them as the detector states (max_value {detector.contract.max_value}): train both with "
            "the same contract.max_value, or leave it out of the classifier's if its crops had 8 bits"
        )
    if segmenter is None:
        return
    both = detector.contract.max_value, segmenter.contract.max_value
    if both[0] != both[1]:
        raise ContractError(
            f"detector and segmenter state different ranges of deep pictures (max_value {both[0]} and {both[1]}), and "
            "/detect decodes a picture once for both: train them with the same contract.max_value, or serve them apart"
        )
    contract = segmenter.contract
    if isinstance(contract, SegmentationContract) and (contract.tiles or contract.roi):
        raise ContractError(
            "the segmenter's contract states tiles or a region of interest, and beside a detector it looks at whole "
            "pictures: serve them apart, or export it with neither"
        )


class SessionThreads:
    """Threads in which a model's batches are computed beside the event loop, one for each of its sessions."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        num_threads = len(served.predictor.sessions) if served.predictor else 1  # a front's are never asked
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="session")

    async def compute(self, items: Sequence[ImageArray]) -> list[list[Row]]:
        """Compute the images of several requests as one batch: the function that a `Batcher` calls."""
        rows = iter(await asyncio.get_running_loop().run_in_executor(self._threads, self._compute, items))
        return [[next(rows) for _ in item] for item in items]

    def _compute(self, items: Sequence[ImageArray]) -> list[Row]:
        return self._served.compute(items[0] if len(items) == 1 else np.concatenate(items))

    def close(self) -> None:
        """Wait for what runs. Safe to call twice."""
        self._threads.shutdown()
