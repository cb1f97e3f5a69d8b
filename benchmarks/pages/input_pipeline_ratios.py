"""What one turn of the input pipeline's benchmark gave, and how turns of one round compare."""

from collections.abc import Sequence
from dataclasses import dataclass

OURS, CACHED, PEER, LEAN_PEER = "ours", "ours, cached", "ImageFolder", "ImageFolder, lean"


@dataclass(frozen=True)
class Turn:
    """One epoch of one contender."""

    pictures: str
    contender: str
    num_workers: int
    pictures_per_s: float
    cpu_ms_per_picture: float


def ratios(turns: Sequence[Turn], pictures: str, num_workers: int, peer: str) -> dict[str, list[float]]:
    """Return for our contenders the ratio of pictures a second to the peer's, one for each round."""
    by_rival: dict[str, list[float]] = {}
    for turn in turns:
        if (turn.pictures, turn.num_workers) == (pictures, num_workers):
            by_rival.setdefault(turn.contender, []).append(turn.pictures_per_s)
    return {
        rival: [ours / theirs for ours, theirs in zip(by_rival[rival], by_rival[peer], strict=True)]
        for rival in (OURS, CACHED)
    }
