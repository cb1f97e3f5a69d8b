"""One optimiser step: what a phase needs to change the weights, and how a batch changes them."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from training.data.tensors import Batch
from training.engine_params import PhaseParams
from training.network.classifier import Classifier
from training.network.ema import WeightAverage
from training.network.losses import Loss
from training.network.optimiser import freeze_all_but, make_optimiser, trainable_parameters
from training.network.schedules import set_rates
from training.params import TrainParams
from training.process.distributed import Worker
from training.run.precision import Precision


class Learner:
    """The model with the optimiser, schedule and scaler of one phase of `num_steps` steps.

    scores: the model, or a part of it, whose answers `loss_function` compares with targets.
    """

    def __init__(
        self,
        model: Classifier,
        scores: nn.Module,
        phase: PhaseParams,
        params: TrainParams,
        num_steps: int,
        loss_function: Loss,
        worker: Worker,
        average: WeightAverage | None,
    ) -> None:
        self._model = model
        self._params = params
        self._worker = worker
        self._loss_function = loss_function
        self._average = average
        self._trainable = trainable_parameters(model, phase)
        freeze_all_but(model, self._trainable)
        self.optimiser = make_optimiser(model, phase, params.weight_decay)
        self._phase = phase
        self._num_steps = num_steps
        self.precision = Precision(params.precision, worker.device)
        self._network = _network(scores, params.compile, worker)

    @property
    def lr(self) -> float:
        """The highest rate among the groups, that is the head's."""
        return max(float(group["lr"]) for group in self.optimiser.param_groups)

    def state(self) -> dict[str, Any]:
        """Return what the optimiser and the scaler have gathered, for `restore`."""
        return {"optimiser": self.optimiser.state_dict(), "scaler": self.precision.scaler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.optimiser.load_state_dict(state["optimiser"])
        self.precision.scaler.load_state_dict(state["scaler"])

    def step(self, batch: Batch, step: int, phase_steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Change the weights by this process's share of a batch; return its mean loss and the gradient's norm.

        step: counted from 1 over the whole run. phase_steps: taken of the phase before this one. The norm is of all
        processes' averaged gradient, before clipping.
        """
        self._model.train()
        set_rates(self.optimiser, self._phase.schedule, phase_steps, self._num_steps, self._phase.warm_up)
        self.optimiser.zero_grad(set_to_none=True)
        images = batch.images.to(self._worker.device, non_blocking=True).chunk(self._params.accumulation)
        targets = batch.targets.to(self._worker.device, non_blocking=True).chunk(self._params.accumulation)
        losses = [
            self._backward(images[part], targets[part], 1 / len(images), is_last=part == len(images) - 1)
            for part in range(len(images))
        ]
        scaler = self.precision.scaler
        scaler.unscale_(self.optimiser)
        norm = self._clip()
        scaler.step(self.optimiser)
        scaler.update()
        if self._average is not None:
            self._average.update(self._model, step)
        return torch.stack(losses).sum(), norm

    def _backward(self, images: torch.Tensor, targets: torch.Tensor, share: float, is_last: bool) -> torch.Tensor:
        """Add a part's gradient; processes average theirs only once, with the last part."""
        waits = isinstance(self._network, DistributedDataParallel) and not is_last
        with self._network.no_sync() if waits else nullcontext():  # type: ignore[operator]
            with self.precision.autocast():
                logits = self._network(images)
            loss = self._loss_function(logits.float(), targets) * share
            self.precision.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _clip(self) -> torch.Tensor:
        gradients = [p.grad for p in self._trainable if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self._params.clip_grad_norm > 0:
            nn.utils.clip_grads_with_norm_(self._trainable, self._params.clip_grad_norm, norm)
        return norm


def _network(scores: nn.Module, compiled: bool, worker: Worker) -> nn.Module:
    """Wrap for gradient averaging; anew in each phase, since DDP looks at requires_grad only once."""
    if compiled:
        scores.compile()
    # Buffers are BatchNorm's frozen statistics and the normalisation: equal everywhere, never changed.
    return DistributedDataParallel(scores, broadcast_buffers=False) if worker.world_size > 1 else scores
