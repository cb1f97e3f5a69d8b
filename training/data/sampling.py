"""Which pictures an epoch draws, in which order: a function of seed and epoch alone, whatever the number of processes.

`shuffle` draws every picture once. `balanced` draws every class equally often: exact quotas instead of independent
draws, so that no class is missed by chance, and within a class no picture is drawn twice before all were drawn once.
`objects` draws independently: a class, then one of its objects, then one of its pictures, each with equal chance.
`auto` is `balanced` where the rarest class has less than a tenth of the pictures of the largest, the rule of thumb for
weighted sampling, else `shuffle`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.batch_params import SamplingRule

RULE_OF_THUMB = 0.1  # rarest class over largest class, below which sampling by class is usual
Draws = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True)
class Part:
    """One epoch's place in its phase: the phase's index, the steps before the epoch, and the epoch's own."""

    phase: int
    first_step: int
    num_steps: int


def epoch_order(
    labels: Sequence[int], rule: SamplingRule, seed: int, epoch: int, num_draws: int | None = None
) -> Draws:
    """Return the epoch's draws, `(num_draws, 2)`: the picture's index, and how often it was drawn before.

    The second number makes the same picture, drawn again, another draw for the augmentation. num_draws: as many as
    there are pictures if left out; what is more begins new rounds.
    """
    rng = np.random.default_rng([seed, epoch])
    num_draws = len(labels) if num_draws is None else num_draws
    if resolve(rule, labels) == "shuffle":
        return _draw_rounds(rng, np.arange(len(labels)), num_draws)
    by_class = [np.flatnonzero(np.equal(labels, label)) for label in np.unique(labels)]
    quotas = _quotas(rng, num_draws, len(by_class))
    draws = np.concatenate([_draw_rounds(rng, *drawn) for drawn in zip(by_class, quotas, strict=True)])
    drawn: Draws = rng.permutation(draws)
    return drawn


def object_draws(
    labels: Sequence[int], groups: Sequence[str], seed: int, phase: int, first: int, num_draws: int
) -> Draws:
    """Return draws `first` to `first + num_draws` of a phase, `(num_draws, 2)`: the picture's index, and a seed of its
    own for all that is random in it.
    """
    rows: dict[int, dict[str, list[int]]] = {}
    for row, (label, group) in enumerate(zip(labels, groups, strict=True)):
        rows.setdefault(label, {}).setdefault(group, []).append(row)
    tree = [[members for _, members in sorted(objects.items())] for _, objects in sorted(rows.items())]
    rng = np.random.default_rng(int(np.random.SeedSequence([seed, phase]).generate_state(1)[0]))
    draws = np.empty((first + num_draws, 2), dtype=np.int64)
    for draw in draws:
        objects = tree[rng.integers(len(tree))]
        members = objects[rng.integers(len(objects))]
        draw[:] = members[rng.integers(len(members))], rng.integers(2**63)
    return draws[first:]


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
    if advised == chosen or chosen == "objects":
        return line
    return f"{line}, where the rule of thumb ({RULE_OF_THUMB:.0%}) is train.sampling: {advised}"


def _quotas(rng: np.random.Generator, total: int, num_classes: int) -> list[int]:
    """Share the epoch's draws out evenly; what does not divide goes to classes drawn by lot."""
    lucky = set(rng.permutation(num_classes)[: total % num_classes].tolist())
    return [total // num_classes + (i in lucky) for i in range(num_classes)]


def _draw_rounds(rng: np.random.Generator, members: Draws, quota: int) -> Draws:
    """Return `(quota, 2)` draws: shuffled rounds through the pictures in `members`."""
    rounds = max(1, -(-quota // len(members)))
    indices = np.concatenate([rng.permutation(members) for _ in range(rounds)])[:quota]
    repeats = np.repeat(np.arange(rounds), len(members))[:quota]
    return np.stack([indices, repeats], axis=1)
