"""What a served model is there for: models of one role stand in for each other, and a deployment has one of each."""

from typing import Literal

from runtime.model.contract import MODEL_NAMES, ClassificationContract, ModelContract

Role = Literal["classification", "crop-classification", "segmentation", "detection"]
"""The task and, of a classifier, whether it looks at pictures or at crops of them."""

CROP_MODEL_NAME = "vision-crop-classifier"  # in the model store
ROLE_NAMES: dict[Role, str] = {"crop-classification": CROP_MODEL_NAME}
ROLE_NAMES.update(MODEL_NAMES.items())


def role_of(contract: ModelContract) -> Role:
    """Return what a model of this contract is served as."""
    is_of_crops = isinstance(contract, ClassificationContract) and contract.subject == "crop"
    return "crop-classification" if is_of_crops else contract.task
