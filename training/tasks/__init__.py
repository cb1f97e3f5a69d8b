"""Tasks by the name that a model's contract has for them."""

from runtime.model.contract import Task as TaskName
from training.run.task import Task
from training.tasks import classification, detection, segmentation

TASKS: dict[TaskName, Task] = {
    "classification": classification, "segmentation": segmentation, "detection": detection,
}  # fmt: skip
