"""Can the model learn a handful of pictures by heart? `python -m training.overfit`.

A network, loss and optimiser that are sound bring a few pictures to 100% within a few hundred steps; one that cannot
has a fault that no amount of data mends: labels that do not belong to the pictures, a rate far off, frozen or dead
layers. Pictures are those of the train split, not augmented; dropout, weight decay and smoothing are off.
Ends with status 0 if all pictures were learned, 1 if not, 2 if something was wrong with the input.
"""

import argparse
import logging
import sys
from dataclasses import dataclass

import numpy as np
import torch

from dataset.checks import check_every_class_trains
from dataset.manifest import Manifest
from project.command import at_least, command, positive
from training.data.tensors import PictureDataset
from training.engine_params import PhaseParams
from training.network.losses import classifier_loss
from training.network.optimiser import freeze_all_but, make_optimiser, trainable_parameters
from training.params import Params
from training.process.distributed import single_worker
from training.run.known_errors import KNOWN_ERRORS
from training.sanity import add_data_options, untrained

LEARNED_LOSS = 0.1  # with all pictures right: a class's probability is 90% on average
REPORT_STEPS = 20
WARM_UP_STEPS = 10  # AdamW's first steps are as large as its rate, whatever the gradient
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Overfit:
    """How it ended: accuracy of the pictures in [0, 1], mean loss, and the steps taken."""

    accuracy: float
    loss: float
    num_steps: int

    @property
    def is_learned(self) -> bool:
        return self.accuracy == 1 and self.loss <= LEARNED_LOSS


def few_of_each_class(manifest: Manifest, number: int, seed: int) -> Manifest:
    """Return `number` pictures, as evenly over the classes as they allow, of a new group while any is left."""
    rng = np.random.default_rng(seed)
    table = manifest.table.iloc[rng.permutation(len(manifest.table))]
    nth_of_group = table.groupby("group").cumcount()
    table = table.assign(_nth=nth_of_group).sort_values("_nth", kind="stable")
    nth_of_class = table.groupby("label").cumcount()
    chosen = table.assign(_nth=nth_of_class).sort_values("_nth", kind="stable").head(number)
    return Manifest(chosen.drop(columns="_nth").reset_index(drop=True), manifest.root)


def overfit(manifest: Manifest, params: Params, num_pictures: int, num_steps: int, lr: float) -> Overfit:
    """Train the whole network on a few pictures of the train split, all in one batch, until it knows them."""
    check_every_class_trains(manifest.table)
    device = single_worker().device
    plain = params.model_copy(
        update={"model": params.model.model_copy(update={"drop_rate": 0.0, "drop_path_rate": 0.0})}
    )
    model, contract = untrained(manifest, plain, device)
    few = PictureDataset(few_of_each_class(manifest.select("train"), num_pictures, params.train.seed), contract)
    batch = few.collate([few[i] for i in range(len(few))])
    images, labels, targets = batch.images.to(device), batch.labels.to(device), batch.targets.to(device)
    phase = PhaseParams(trainable="all", epochs=1, lr=lr)
    freeze_all_but(model, trainable_parameters(model, phase))
    optimiser = make_optimiser(model, phase, weight_decay=0.0)
    loss_function = classifier_loss(params.train.loss, torch.ones(len(contract.classes), device=device), 0.0,
                                    params.train.focal_gamma)  # fmt: skip
    model.train()
    for step in range(num_steps + 1):
        optimiser.zero_grad(set_to_none=True)
        logits = model(images)
        loss = loss_function(logits, targets)
        result = Overfit(float((logits.argmax(dim=1) == labels).float().mean()), float(loss.detach()), step)
        if step % REPORT_STEPS == 0 or result.is_learned:
            logger.info("step %d: loss %.4f, accuracy %.1f%%", step, result.loss, 100 * result.accuracy)
        if result.is_learned:
            break
        loss.backward()  # type: ignore[no-untyped-call]
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / WARM_UP_STEPS)
        optimiser.step()
    return result


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument("--pictures", type=at_least(1), default=24)
    parser.add_argument("--steps", type=at_least(1), default=200)
    parser.add_argument("--lr", type=positive, default=5e-4)


@command(_arguments, known=KNOWN_ERRORS)
def main(arguments: argparse.Namespace) -> int:
    manifest, params = Manifest.read(arguments.manifest), Params.read(arguments.params)
    result = overfit(manifest, params, arguments.pictures, arguments.steps, arguments.lr)
    if result.is_learned:
        logger.info("all pictures are known by heart after %d steps", result.num_steps)
        return 0
    logger.info(
        "after %d steps accuracy is %.1f%% with a loss of %.4f: try --lr or more --steps; if nothing helps, look at "
        "the labels of the contact sheet and at which parameters have a gradient",
        result.num_steps, 100 * result.accuracy, result.loss,
    )  # fmt: skip
    return 1


if __name__ == "__main__":
    sys.exit(main())
