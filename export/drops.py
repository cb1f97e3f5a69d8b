"""Which figures of a model are worse than another's by more than they may be, in words."""

from collections.abc import Iterable
from typing import NamedTuple

from evaluation.pages.wording import figure

_ROUNDING = 1e-9  # a drop of exactly the margin is no more than the margin


class Compared(NamedTuple):
    """A figure of two models, None or NaN where it is undefined, and how much it may fall."""

    name: str
    before: float | None
    after: float | None
    max_drop: float


def drops_beyond(figures: Iterable[Compared]) -> tuple[str, ...]:
    """Say which figures fall by more than they may; one that is undefined for either model does not."""
    return tuple(
        f"{name} falls from {figure(before)} to {figure(after)} (by more than {max_drop:g})"
        for name, before, after, max_drop in figures
        if before is not None and after is not None and before - after > max_drop + _ROUNDING  # false for NaN
    )
