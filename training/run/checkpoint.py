"""The trained weights with their contract, in one file that is whole or not there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from project.write_whole import whole_file
from runtime.model.contract import ModelContract, parse_contract


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or no checkpoint of ours."""


@dataclass(frozen=True)
class Checkpoint:
    """state_dict: tensors on the CPU. metrics: of the epoch, on the validation split."""

    state_dict: dict[str, torch.Tensor]
    contract: ModelContract
    params: dict[str, Any]
    epoch: int
    metrics: dict[str, float]

    def save(self, path: Path) -> None:
        """Write the file atomically: a reader sees the old one or the new one, also after a power cut."""
        document = {
            "state_dict": self.state_dict,
            "contract": self.contract.to_json(),
            "params": self.params,
            "epoch": self.epoch,
            "metrics": self.metrics,
        }
        with whole_file(path) as temporary, temporary.open("wb") as file:  # by the open file: its name is not in it
            torch.save(document, file)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint; never runs code from it. Raises CheckpointError."""
        try:
            document = torch.load(path, map_location="cpu", weights_only=True)
            contract = parse_contract(document["contract"], str(path))
            return cls(**{**document, "contract": contract})
        except FileNotFoundError as exc:
            raise CheckpointError(f"there is no checkpoint at {path}: run `make train`") from exc
        except Exception as exc:  # zip, pickle and key errors of damaged or foreign files
            raise CheckpointError(f"{path} is no checkpoint of bento-vision, or is damaged: {exc}") from exc
