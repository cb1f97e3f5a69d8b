"""A ReLU6 that keeps its result gives the bits of PyTorch's own and copies nothing."""

import copy

import pytest
import torch
from torch import nn

from training.network.saved_results import ReLU6WithSavedResult, save_results_of_relu6


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8).eval(), nn.ReLU6(inplace=True),
        nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU6(inplace=True)), nn.ReLU6(),
    )  # fmt: skip


def _pass(network: nn.Module) -> tuple[list[torch.Tensor], int]:
    """Return the result and all gradients of a pass, and how many blocks of memory it kept for going back."""
    images = (20 * torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(1))).requires_grad_()
    kept: list[torch.Tensor] = []  # all at once: what is freed may be taken again

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = network(images)
    (result * torch.arange(result.numel()).view_as(result)).sum().backward()
    assert images.grad is not None
    gradients = [images.grad, *(p.grad for p in network.parameters() if p.grad is not None)]
    return [result.detach(), *gradients], len({tensor.untyped_storage().data_ptr() for tensor in kept})


def test_values_and_gradients_keep_their_bits_and_less_is_kept() -> None:
    plain, lean = _network(), _network()
    save_results_of_relu6(lean)
    (expected, num_plain), (found, num_lean) = _pass(plain), _pass(lean)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert (expected[0] == 0).any()
    assert (expected[0] > 0).any()
    assert num_lean == num_plain - 2  # the two results are kept as the next layers' inputs as well


def test_only_those_that_work_in_place_are_replaced_at_any_depth() -> None:
    network = _network()
    save_results_of_relu6(network)
    kinds = [type(module) for module in network.modules() if isinstance(module, nn.ReLU6)]
    assert kinds == [ReLU6WithSavedResult, ReLU6WithSavedResult, nn.ReLU6]
    assert network.state_dict().keys() == _network().state_dict().keys()
    assert isinstance(copy.deepcopy(network), nn.Module)


@pytest.mark.parametrize("value", [0.0, 6.0, -1.0, 7.0, 3.0])
def test_at_the_bounds_the_gradient_is_pytorchs(value: float) -> None:
    gradients = []
    for module in (nn.ReLU6(inplace=True), ReLU6WithSavedResult(inplace=True)):
        start = torch.tensor([value], requires_grad=True)
        module(start * 1).backward()
        gradients.append(start.grad)
    assert gradients[0] == gradients[1]
