"""What sections of tasks whose network is a pyramid have in common, for params files of tests."""

from pathlib import Path
from typing import Any

import yaml

PHASE = {"trainable": "all", "lr": 0.01, "backbone_lr_scale": 0.3, "schedule": "one_cycle_momentum", "warm_up": 0.3}
SMALL = {"backbone": "test_resnet", "pretrained": "none", "drop_rate": 0.0}


def pyramid_section(
    phases: tuple[dict[str, Any], ...], channels: int, coarsest_stride: int, batch_size: int
) -> dict[str, Any]:
    """Return a small pyramid and what replaces other sections; each phase needs `steps`, may have a `view` and more."""
    return {
        "channels": channels, "coarsest_stride": coarsest_stride, "readout_c": 1.0, "model": {"drop_rate": 0.0},
        "train": {
            "batch_size": batch_size, "phases": [{**PHASE, **phase} for phase in phases], "sampling": "objects",
            "label_smoothing": 0, "class_weight_power": 0,
        },
        "augment": {"crop_min_area": 1, "brightness": 0, "contrast": 0},
    }  # fmt: skip


def write_params(path: Path, document: dict[str, Any], **sections: dict[str, Any]) -> Path:
    """Write a params file for a small backbone without weights, with sections of tasks beside those of `document`."""
    path.write_text(yaml.safe_dump({**document, "model": SMALL, **sections}), encoding="utf-8")
    return path
