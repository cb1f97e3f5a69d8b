"""The place that filters of a user's own import from (docs/FILTERS.md); it stays, whatever moves inside."""

from runtime.answers.classification import ModelIdentity, Prediction
from runtime.answers.segmentation import Box, Region, RunLengths, Segmentation

__all__ = ["Box", "ModelIdentity", "Prediction", "Region", "RunLengths", "Segmentation"]
