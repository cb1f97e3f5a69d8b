"""The predicted maps of a table of predictions, as the service would answer them."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from evaluation.outlines.parts import ByteMap, without_small
from evaluation.predicted_maps import REMEDY, Foreground, map_path, read_map, refuse_other_maps
from evaluation.predictions import Predictions, PredictionsError
from runtime.model.contract import CONTRACT_FILE, ContractError, SegmentationContract, read_contract
from runtime.model.preprocess import placement


class Answer(NamedTuple):
    """One picture's map: `regions` `(H, W)` uint8, 0 where nothing is answered, and `foreground` `(H, W)`."""

    regions: ByteMap
    foreground: Foreground


@dataclass(frozen=True)
class MapFolder:
    """Maps of the rows of a table of predictions, and the contract that says what they mean."""

    folder: Path
    contract: SegmentationContract

    @classmethod
    def open(cls, folder: Path, predictions: Predictions) -> Self:
        """Read the contract beside the maps.

        predictions: the whole table, of which the maps are. Raises PredictionsError unless there is a map of each row,
        and a contract of segmentation with the predictions' classes.
        """
        refuse_other_maps(folder, len(predictions.paths))
        try:
            contract = read_contract(folder / CONTRACT_FILE)
        except ContractError as exc:
            raise PredictionsError(f"{exc}; {REMEDY}") from exc
        if not isinstance(contract, SegmentationContract):
            raise PredictionsError(f"{folder / CONTRACT_FILE} is of the task {contract.task}: it has no maps; {REMEDY}")
        if contract.classes != predictions.classes:
            raise PredictionsError(
                f"{folder / CONTRACT_FILE} has the classes {', '.join(contract.classes)}, but the predictions "
                f"{', '.join(predictions.classes)}: they are not of one run; {REMEDY}"
            )
        return cls(folder, contract)

    def read(self, row: int, width: int, height: int) -> Answer:
        """Return the answer to the picture of that row of the predictions, whose upright size in pixels is stated.

        Background is where `foreground` is below the threshold, in letterbox bars, and where a connected part has fewer
        than `min_region_px` pixels. Raises PredictionsError for a map of another size or of unknown regions.
        """
        contract, path = self.contract, map_path(self.folder, row)
        region_map, foreground = read_map(self.folder, row)
        if region_map.shape != (contract.height, contract.width):
            raise PredictionsError(
                f"{path} is {region_map.shape[1]} x {region_map.shape[0]} pixels, but the input of its contract is "
                f"{contract.width} x {contract.height}; {REMEDY}"
            )
        if region_map.max() > len(contract.regions):
            raise PredictionsError(
                f"{path} holds region {region_map.max()}, but its contract has {len(contract.regions)}; {REMEDY}"
            )
        left, top, right, bottom = placement(width, height, contract).filled
        regions = np.zeros_like(region_map)
        inside = np.s_[top:bottom, left:right]
        regions[inside] = np.where(foreground[inside] >= contract.threshold, region_map[inside], np.uint8(0))
        return Answer(without_small(regions, contract.min_region_px), foreground)
