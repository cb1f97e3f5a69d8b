"""The rate goes the way that its name says."""

import pytest
import torch

from training.engine_params import ScheduleName
from training.network.schedules import schedule_factor, set_rates


def test_cosine_rises_in_a_line_and_falls_to_nothing() -> None:
    factors = [schedule_factor("cosine", step, 100, 0.1) for step in range(101)]
    assert factors[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert factors[10] == max(factors) == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0.0)


def test_one_cycle_starts_at_a_twentyfifth_and_rises_as_a_cosine() -> None:
    factors = [schedule_factor("one_cycle", step, 100, 0.4) for step in range(101)]
    assert factors[0] == pytest.approx(0.04)
    assert factors[20] == pytest.approx((1 + 0.04) / 2)
    assert factors[40] == max(factors) == 1.0
    assert factors[70] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0.0)


@pytest.mark.parametrize("num_steps", [1, 2, 7, 50])
def test_one_cycle_with_momentum_is_that_of_pytorch_to_the_last_bit(num_steps: int) -> None:
    ours, theirs = (torch.optim.AdamW([torch.zeros(1)], lr=0.003) for _ in range(2))
    ours.param_groups[0]["highest_lr"] = 0.003
    schedule = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.003, total_steps=num_steps)
    for step in range(num_steps):
        set_rates(ours, "one_cycle_momentum", step, num_steps, 0.3)
        assert [ours.param_groups[0][key] for key in ("lr", "betas")] == [
            theirs.param_groups[0][key] for key in ("lr", "betas")
        ]
        theirs.step()
        if step + 1 < num_steps:
            schedule.step()


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
@pytest.mark.parametrize("warm_up", [0.0, 0.1, 0.99])
def test_a_phase_of_one_step_has_a_rate(name: ScheduleName, warm_up: float) -> None:
    assert 0 < schedule_factor(name, 0, 1, warm_up) <= 1


def test_every_group_keeps_its_proportion() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr, "highest_lr": lr} for lr in (0.01, 0.1)]
    optimiser = torch.optim.AdamW(groups)
    for step in (0, 4, 9):
        set_rates(optimiser, "one_cycle", step, 10, 0.3)
        slow, fast = (group["lr"] for group in optimiser.param_groups)
        assert fast == pytest.approx(0.1 * schedule_factor("one_cycle", step, 10, 0.3)) == pytest.approx(10 * slow)
