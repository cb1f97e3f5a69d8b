"""The section `export:` of `params.yaml`."""

from typing import Annotated

from pydantic import Field, StringConstraints

from project.params import Section


class ExportParams(Section):
    """opset: of ONNX. max_probability_difference: parity's limit. batch_sizes: at which parity is proven."""

    opset: Annotated[int, Field(ge=17)]
    max_probability_difference: Annotated[float, Field(gt=0, lt=1)]
    batch_sizes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]


class GateParams(Section):
    """How much worse than the registered model a new one may be on the same test pictures, in [0, 1].

    max_macro_f1_drop: of macro-F1. max_recall_drop: of each class's recall. max_dice_drop: of a segmentation's Dice,
    pooled over pixels, of any region and of each. max_ap_drop: of a detection's average precision, as mean over objects
    at IoU 0.50 to 0.95, and of each object at 0.50. task: what the model is for; models that state the same are
    compared, those that state another never; empty leaves it to the pictures.
    """

    max_macro_f1_drop: Annotated[float, Field(ge=0, le=1)]
    max_recall_drop: Annotated[float, Field(ge=0, le=1)]
    max_dice_drop: Annotated[float, Field(ge=0, le=1)]
    max_ap_drop: Annotated[float, Field(ge=0, le=1)]
    task: Annotated[str, StringConstraints(strip_whitespace=True)] = ""
