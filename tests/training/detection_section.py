"""Section `detection:` of a params file for tests: a small pyramid, and what replaces other sections."""

from typing import Any


def detection_section(
    *phases: dict[str, Any], channels: int = 8, coarsest_stride: int = 8, batch_size: int = 4
) -> dict[str, Any]:
    """Return the section; each phase needs `steps` and may have a `view` and more."""
    common = {
        "trainable": "all",
        "lr": 0.01,
        "backbone_lr_scale": 0.3,
        "schedule": "one_cycle_momentum",
        "warm_up": 0.3,
    }
    return {
        "channels": channels, "coarsest_stride": coarsest_stride, "max_boxes": 20, "readout_c": 1.0,
        "model": {"drop_rate": 0.0},
        "train": {
            "batch_size": batch_size, "phases": [{**common, **phase} for phase in phases], "sampling": "objects",
            "label_smoothing": 0, "class_weight_power": 0,
        },
        "augment": {"crop_min_area": 1, "brightness": 0, "contrast": 0},
    }  # fmt: skip
