"""The section `evaluate:` of `params.yaml`."""

from typing import Annotated

from pydantic import Field

from project.params import Section


class EvaluateParams(Section):
    """How the model is measured.

    seed, confidence, bootstrap_samples: of the intervals; fewer than 100 resamples cannot place the ends of a 95%
    interval. max_miss_rate: share of defective pictures that may be passed when the threshold for 'defect or not' is
    set. miss_cost, false_alarm_cost: of one passed defective and one refused normal picture, in any one unit.
    min_slice_images: a part of the test images with fewer is no slice: it is neither shown nor
    tested. min_slice_groups: a slice with fewer is not tested. max_false_discovery_rate: the share of the
    slices called weak that may be lucky finds. sensitive_attribute: a manifest attribute to be fair about, or ''.
    """

    seed: Annotated[int, Field(ge=0)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    bootstrap_samples: Annotated[int, Field(ge=100)]
    max_miss_rate: Annotated[float, Field(ge=0, lt=1)] = 0.05
    miss_cost: Annotated[float, Field(gt=0)] = 10.0
    false_alarm_cost: Annotated[float, Field(gt=0)] = 1.0
    min_slice_images: Annotated[int, Field(ge=2)] = 20
    min_slice_groups: Annotated[int, Field(ge=3)] = 5
    max_false_discovery_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    sensitive_attribute: str = ""


class ReviewParams(Section):
    """`review:` how much the exported model is asked again.

    seed: of the images drawn and of noise. max_robustness_images: test images that are changed step by step.
    maps_per_class: worst errors of each class whose occlusion is mapped. max_maps: of all classes together.
    max_mask_images: correctly recognised test images with a mask over which attribution is compared with the mask.
    """

    seed: Annotated[int, Field(ge=0)]
    max_robustness_images: Annotated[int, Field(ge=2)]
    maps_per_class: Annotated[int, Field(ge=0)]
    max_maps: Annotated[int, Field(ge=0)] = 40
    max_mask_images: Annotated[int, Field(ge=0)]
