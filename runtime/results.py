"""The place that filters of a user's own import from (docs/FILTERS.md); it stays, whatever moves inside."""

from runtime.answers.classification import ModelIdentity, Prediction
from runtime.answers.detection import DetectedBox, Detection
from runtime.answers.pipeline import Classification, PipelineResult, Unclassified
from runtime.answers.segmentation import Box, Region, RunLengths, Segmentation
from runtime.image_filters.looking import Seen

__all__ = [
    "Box", "Classification", "DetectedBox", "Detection", "ModelIdentity", "PipelineResult", "Prediction", "Region",
    "RunLengths", "Seen", "Segmentation", "Unclassified",
]  # fmt: skip
