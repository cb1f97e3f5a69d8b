"""How many pictures a step takes: what `params.yaml` says, or as many as a small data set has."""

import logging
import math

from project.params import ParamsError
from training.params import Params

logger = logging.getLogger(__name__)


def with_fitting_batch(params: Params, num_pictures: int, num_processes: int = 1, min_steps: int = 1) -> Params:
    """Return the params with a batch that `num_pictures` training pictures fill `min_steps` times, and say so if it is
    smaller than the one asked for.

    Raises ParamsError if processes cannot share the batch evenly, in equal parts and in pairs where pictures are mixed,
    or if there are too few pictures for any such batch.
    """
    asked, unit = params.train.batch_size, _check(params, num_processes)
    fitting = num_pictures // min_steps // unit * unit
    if fitting == 0 or (params.augment.mixes and fitting < 2):
        least = max(unit, 2) if params.augment.mixes else unit
        raise ParamsError(
            f"{num_pictures} training pictures do not fill {min_steps} batch(es) of {least}, the smallest that "
            f"{_sharing(params, num_processes)} can share: lower NPROC or train.accumulation, or add pictures"
        )
    if fitting >= asked:
        return params
    logger.info("train.batch_size is %d, but %d pictures train: a batch has %d", asked, num_pictures, fitting)
    return params.model_copy(update={"train": params.train.model_copy(update={"batch_size": fitting})})


def _check(params: Params, num_processes: int) -> int:
    """Return the number of which a batch must be a multiple. Raises ParamsError if the one asked for is none."""
    batch_size, unit = params.train.batch_size, num_processes * params.train.accumulation
    if batch_size % unit:
        raise ParamsError(
            f"train.batch_size is {batch_size} over all processes, which {_sharing(params, num_processes)} cannot "
            f"share evenly: use a multiple of {unit}, or change NPROC or train.accumulation"
        )
    if not params.augment.mixes:
        return unit
    if batch_size < 2:
        raise ParamsError(
            "MixUp and CutMix mix the pictures of a batch, but train.batch_size is 1: raise it, or set "
            "augment.mixup_alpha and augment.cutmix_alpha to 0"
        )
    # Alone, a picture without a neighbour mixes with the first one. Of several processes each needs whole pairs, else
    # their number would change which pictures are mixed.
    pairs = 2 * num_processes if num_processes > 1 else 1
    if batch_size % pairs:
        raise ParamsError(
            f"MixUp and CutMix take pictures in pairs, but each of {num_processes} processes would have "
            f"{batch_size // num_processes} of a batch: make train.batch_size a multiple of {math.lcm(unit, pairs)}"
        )
    return math.lcm(unit, pairs)


def _sharing(params: Params, num_processes: int) -> str:
    parts = f" in {params.train.accumulation} parts each" if params.train.accumulation > 1 else ""
    return f"{num_processes} {'process' if num_processes == 1 else 'processes'}{parts}"
