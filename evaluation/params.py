"""The section `evaluate:` of `params.yaml`."""

from typing import Annotated

from pydantic import Field

from dataset.params import Section


class EvaluateParams(Section):
    """How intervals are computed: seed and number of resamples, and the share of them that an interval covers.

    Fewer than 100 resamples cannot place the ends of a 95% interval.
    """

    seed: Annotated[int, Field(ge=0)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    bootstrap_samples: Annotated[int, Field(ge=100)]
