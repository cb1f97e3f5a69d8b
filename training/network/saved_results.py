"""ReLU6 whose backward pass needs its result alone, so that training copies and keeps half as much of it."""

from typing import Any, cast

import torch
from torch import nn


class _ClampInPlace(torch.autograd.Function):
    """PyTorch's `hardtanh_` copies its input, which it overwrites, for the backward pass; which side of 0 and 6 it was
    on can be read off the result just as well.
    """

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        ctx.mark_dirty(values)
        result = values.clamp_(0, 6)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (result,) = ctx.saved_tensors
        return cast("torch.Tensor", torch.ops.aten.hardtanh_backward(gradient, result, 0.0, 6.0))


class ReLU6WithSavedResult(nn.ReLU6):
    """In-place ReLU6 with the same bits, forward and backward. Under the compiler it is PyTorch's own."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Clamp `values` of any shape to [0, 6], in place."""
        if torch.is_grad_enabled() and values.requires_grad and not torch.compiler.is_compiling():
            return cast("torch.Tensor", _ClampInPlace.apply(values))
        return super().forward(values)


def save_results_of_relu6(network: nn.Module) -> None:
    """Have each ReLU6 of a network that works in place keep its result for the backward pass instead of its input."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.ReLU6 and child.inplace:
                setattr(module, name, ReLU6WithSavedResult(inplace=True))
