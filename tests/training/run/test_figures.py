"""An epoch's figures, also those of an epoch that was interrupted."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from training.process.distributed import single_worker
from training.run.figures import EpochFigures


class OnGpu(torch.Tensor):
    """Stands in for a tensor on a GPU: it and one on the CPU are never put together."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in (torch.stack, torch.cat) and len({type(tensor) for tensor in args[0]}) > 1:
            raise RuntimeError("Expected all tensors to be on the same device")
        result = super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        return result.as_subclass(torch.Tensor) if func is torch.Tensor.cpu else result


def _gpu(value: float) -> torch.Tensor:
    return torch.tensor(value).as_subclass(OnGpu)


def test_an_epoch_goes_on_from_a_saved_part_of_it_with_numbers_from_a_gpu() -> None:
    first, second = EpochFigures(), EpochFigures()
    first.add(_gpu(0.1), _gpu(2.0), 0.01, 12)
    second.restore(first.state())
    second.add(_gpu(0.3), _gpu(float("inf")), 0.02, 12)
    second.add(_gpu(0.2), _gpu(4.0), 0.03, 12)
    assert second.num_steps == 3
    assert second.steps(single_worker()) == [
        {"step_loss": pytest.approx(0.1), "step_grad_norm": 2.0, "step_lr": 0.01},
        {"step_loss": pytest.approx(0.3), "step_grad_norm": float("inf"), "step_lr": 0.02},
        {"step_loss": pytest.approx(0.2), "step_grad_norm": 4.0, "step_lr": 0.03},
    ]
    summary = second.summary(single_worker())
    assert summary["train_loss"] == pytest.approx(0.2)
    assert summary["grad_norm"] == 3.0  # of the steps that fp16's scaler did not skip


def test_a_meter_that_is_restored_holds_the_same_bits() -> None:
    meter = EpochFigures()
    meter.add(torch.tensor(1 / 3), torch.tensor(2 / 3), 0.01, 12)
    again = EpochFigures()
    again.restore(meter.state())
    assert again.state() == meter.state()
