"""How the learning rate goes over the steps of one phase, as a factor of the highest rate."""

import math

from torch.optim import Optimizer

from training.engine_params import ScheduleName

ONE_CYCLE_START = 1 / 25  # Smith's and PyTorch's choice
START_DIVISOR, END_DIVISOR = 25.0, 1e4  # PyTorch's, of the highest rate and of the first one
MOMENTUM = 0.95, 0.85  # AdamW's first beta at the lowest and at the highest rate


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

    Each group has its highest rate as `highest_lr`. `one_cycle_momentum` is PyTorch's OneCycleLR to the last bit, which
    also lowers AdamW's first beta while the rate is high.
    """
    if name == "one_cycle_momentum":
        for group in optimiser.param_groups:
            highest = group["highest_lr"]
            lowest = highest / START_DIVISOR
            group["lr"] = _one_cycle(lowest, highest, lowest / END_DIVISOR, step, num_steps, warm_up)
            beta = _one_cycle(MOMENTUM[0], MOMENTUM[1], MOMENTUM[0], step, num_steps, warm_up)
            group["betas"] = (beta, group["betas"][1])
        return
    factor = schedule_factor(name, step, num_steps, warm_up)
    for group in optimiser.param_groups:
        group["lr"] = group["highest_lr"] * factor


def _one_cycle(start: float, middle: float, end: float, step: int, num_steps: int, warm_up: float) -> float:
    """Go from `start` to `middle` over `warm_up` of the steps and on to `end`, each by half a cosine."""
    last_rising = warm_up * num_steps - 1
    if step <= last_rising:
        first, last, position = start, middle, step / last_rising if last_rising else 0.0
    else:
        first, last, position = middle, end, (step - last_rising) / (num_steps - 1 - last_rising)
    return last + (first - last) / 2.0 * (math.cos(math.pi * position) + 1)


def _half_cosine(share: float) -> float:
    """Fall from 1 at 0 to 0 at 1 and beyond."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
