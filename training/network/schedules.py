"""How the learning rate goes over the steps of one phase, as a factor of the highest rate."""

import math

from torch.optim import Optimizer

from training.engine_params import ScheduleName

ONE_CYCLE_START = 1 / 25  # Smith's and PyTorch's choice; the momentum's half of one-cycle is for SGD and left out


def schedule_factor(name: ScheduleName, step: int, num_steps: int, warm_up: float) -> float:
    """Return the factor in [0, 1] for a step in [0, num_steps].

    cosine: a linear rise from near 0 over `warm_up` of the steps, then half a cosine down to 0. one_cycle: half a
    cosine up from 1/25, then the same way down.
    """
    num_rising = round(num_steps * warm_up)
    if step < num_rising:
        if name == "cosine":
            return (step + 1) / (num_rising + 1)
        return 1 - (1 - ONE_CYCLE_START) * _half_cosine(step / num_rising)
    return _half_cosine((step - num_rising) / max(1, num_steps - num_rising))


def set_rates(optimiser: Optimizer, name: ScheduleName, step: int, num_steps: int, warm_up: float) -> None:
    """Set every group's rate for a step, counted from 0: a function of the step alone, so that nothing is to be kept.

    Each group has its highest rate as `highest_lr`.
    """
    factor = schedule_factor(name, step, num_steps, warm_up)
    for group in optimiser.param_groups:
        group["lr"] = group["highest_lr"] * factor


def _half_cosine(share: float) -> float:
    """Fall from 1 at 0 to 0 at 1 and beyond."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
