"""Number formats of the forward pass: fp32, bf16, or fp16 with a gradient scaler."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from training.engine_params import PrecisionName

FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Autocast and, for fp16 alone, a scaler: bf16 has fp32's range, and its small gradients do not vanish."""

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self._format = FORMATS.get(name)
        self._device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute what gains from it in the low format; weights stay fp32."""
        with torch.autocast(self._device.type, self._format, enabled=self._format is not None):
            yield
