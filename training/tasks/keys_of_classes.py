"""Keys of `params.yaml` that only a network whose output is classes has a use for."""

from project.params import ParamsError
from training.params import Params

# What switches each off. Others that matter only beside these need no entry.
OFF: dict[str, object] = {
    "model.drop_rate": 0, "train.loss": "cross_entropy", "train.label_smoothing": 0, "train.class_weighting": "power",
    "train.class_weight_power": 0, "augment.mixup_alpha": 0, "augment.cutmix_alpha": 0,
}  # fmt: skip


def refuse_keys_of_classes(params: Params) -> None:
    """Raise ParamsError that names the key if one of `OFF` is on."""
    for key, off in OFF.items():
        section, name = key.split(".")
        if (value := getattr(getattr(params, section), name)) != off:
            task = params.task
            raise ParamsError(f"{key} is {value}, which {task} has no use for: set {task}.{key} to {off}")
