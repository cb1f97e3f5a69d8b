"""Which pictures an epoch draws, in which order: a function of seed and epoch alone, whatever the number of processes.

`shuffle` draws every picture once. `balanced` draws every class equally often: exact quotas instead of independent
draws, so that no class is missed by chance, and within a class no picture is drawn twice before all were drawn once.
`auto` is `balanced` where the rarest class has less than a tenth of the pictures of the largest, the rule of thumb for
weighted sampling, else `shuffle`.
"""

from collections.abc import Sequence

import numpy as np

from training.batch_params import SamplingRule

RULE_OF_THUMB = 0.1  # rarest class over largest class, below which sampling by class is usual
Draws = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def epoch_order(labels: Sequence[int], rule: SamplingRule, seed: int, epoch: int) -> Draws:
    """Return the epoch's draws, `(len(labels), 2)`: the picture's index, and how often it was drawn before.

    The second number makes the same picture, drawn again, another draw for the augmentation.
    """
    rng = np.random.default_rng([seed, epoch])
    if resolve(rule, labels) == "shuffle":
        order = rng.permutation(len(labels))
        return np.stack([order, np.zeros_like(order)], axis=1)
    by_class = [np.flatnonzero(np.equal(labels, label)) for label in np.unique(labels)]
    draws = np.concatenate(
        [_draw_class(rng, members, quota) for members, quota in zip(by_class, _quotas(rng, by_class), strict=True)]
    )
    drawn: Draws = rng.permutation(draws)
    return drawn


def expected_counts(labels: Sequence[int], num_classes: int, rule: SamplingRule) -> list[float]:
    """Return how often an epoch draws each class on average; 0 for a class without pictures."""
    counts = np.bincount(labels, minlength=num_classes)
    if resolve(rule, labels) == "shuffle":
        return [float(count) for count in counts]
    share = len(labels) / int((counts > 0).sum())
    return [share if count else 0.0 for count in counts]


def resolve(rule: SamplingRule, labels: Sequence[int]) -> SamplingRule:
    """Return `balanced` or `shuffle`, deciding `auto` by the rule of thumb."""
    if rule != "auto":
        return rule
    return "balanced" if imbalance(labels) < RULE_OF_THUMB else "shuffle"


def imbalance(labels: Sequence[int]) -> float:
    """Return the rarest class's pictures as a share of the largest class's, in (0, 1]."""
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return float(counts.min() / counts.max())


def describe(labels: Sequence[int], rule: SamplingRule) -> str:
    """Say in one line how classes are drawn and whether the rule of thumb asks for something else."""
    share, chosen = imbalance(labels), resolve(rule, labels)
    advised: SamplingRule = "balanced" if share < RULE_OF_THUMB else "shuffle"
    line = f"sampling: {chosen}; the rarest class has {share:.1%} of the largest class's pictures"
    if advised == chosen:
        return line
    return f"{line}, where the rule of thumb ({RULE_OF_THUMB:.0%}) is train.sampling: {advised}"


def _quotas(rng: np.random.Generator, by_class: Sequence[Draws]) -> list[int]:
    """Share the epoch's draws out evenly; what does not divide goes to classes drawn by lot."""
    total, num_classes = sum(map(len, by_class)), len(by_class)
    lucky = set(rng.permutation(num_classes)[: total % num_classes].tolist())
    return [total // num_classes + (i in lucky) for i in range(num_classes)]


def _draw_class(rng: np.random.Generator, members: Draws, quota: int) -> Draws:
    """Return `(quota, 2)` draws of one class: shuffled rounds through its pictures."""
    rounds = -(-quota // len(members))
    indices = np.concatenate([rng.permutation(members) for _ in range(rounds)])[:quota]
    repeats = np.repeat(np.arange(rounds), len(members))[:quota]
    return np.stack([indices, repeats], axis=1)
