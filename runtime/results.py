"""The place that filters of a user's own import from (docs/FILTERS.md); it stays, whatever moves inside."""

from runtime.answers.results import ModelIdentity, Prediction

__all__ = ["ModelIdentity", "Prediction"]
