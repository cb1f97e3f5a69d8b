"""The random states of this process: Python's, NumPy's and PyTorch's, as plain values that can be kept."""

import random
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """Return all states as tensors, numbers and strings, so that they load without running code."""
    version, internal, gauss = random.getstate()
    legacy: Any = np.random.get_state()  # noqa: NPY002  # what packages draw from that were given no generator
    name, keys, *rest = legacy
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, keys.tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Go on drawing where `random_states` was taken."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
