"""When a phase has nothing more to give."""

from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """Counts epochs without a better score since the phase began; it ends the phase, and the next one starts anew.

    patience_epochs: 0 never stops.
    """

    patience_epochs: int
    best: float = float("-inf")
    num_worse: int = 0

    def is_over(self, score: float) -> bool:
        """Take one epoch's score, the higher the better; true if `patience_epochs` in a row brought nothing better."""
        self.num_worse = 0 if score > self.best else self.num_worse + 1
        self.best = max(self.best, score)
        return 0 < self.patience_epochs <= self.num_worse
