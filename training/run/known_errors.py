"""What a user of a training command can cause and mend; anything else is a fault of ours and shows its traceback."""

from dataset.manifest import ManifestError
from project.params import ParamsError
from training.network.backbones import BackboneError
from training.network.package_weights import WeightsError
from training.records.tracking import TrackingError
from training.run.checkpoint import CheckpointError
from training.run.state import StateError

KNOWN_ERRORS = (
    BackboneError, CheckpointError, ManifestError, ParamsError, StateError, TrackingError, WeightsError,
    FloatingPointError,
)  # fmt: skip
