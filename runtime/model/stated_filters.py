"""The filters that a contract states: which step stands where between the model and its answer (docs/FILTERS.md)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue


class AbstainFilter(BaseModel):
    """Mark an answer whose calibrated probability is below `below` as one that the model is not sure of."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["abstain"] = "abstain"
    below: Annotated[float, Field(gt=0, le=1)]


class HookFilter(BaseModel):
    """Call a function of the user's own, `package.module:function`, with each answer and `options` as keywords."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["hook"] = "hook"
    path: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
    options: dict[str, JsonValue] = {}


Filter = Annotated[AbstainFilter | HookFilter, Field(discriminator="kind")]


def _check_one_threshold(filters: tuple[Filter, ...]) -> tuple[Filter, ...]:
    if sum(step.kind == "abstain" for step in filters) > 1:
        raise ValueError("filters may hold one 'abstain': an answer names one threshold")
    return filters


Filters = Annotated[tuple[Filter, ...], AfterValidator(_check_one_threshold)]
