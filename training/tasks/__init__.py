"""Tasks by the head of the network that `model.head` names."""

from training.params import Head
from training.run.task import Task
from training.tasks import classification, segmentation

TASKS: dict[Head, Task] = {"linear": classification, "mask": segmentation}
