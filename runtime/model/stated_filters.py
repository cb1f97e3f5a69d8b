"""The filters that a contract states: which step stands where between the model and its answer (docs/FILTERS.md)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

_FUNCTION = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"  # package.module:function


class AbstainFilter(BaseModel):
    """Mark an answer whose calibrated probability is below `below` as one that the model is not sure of."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["abstain"] = "abstain"
    below: Annotated[float, Field(gt=0, le=1)]


class HookFilter(BaseModel):
    """Call a function of the user's own, `package.module:function`, with each answer and `options` as keywords."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["hook"] = "hook"
    path: Annotated[str, Field(pattern=_FUNCTION)]
    options: dict[str, JsonValue] = {}


class ImageFilter(BaseModel):
    """Have a filter look at each image's pixels; it may withhold the answer, mark or change it, or blur a drawing.

    `path` names a function, of the user's own or of `runtime.image_filters`, that is called once at start with
    `options` as keywords and returns what looks. It sees the whole image with a longer side of `side_px` at most.
    Where it fails or takes longer than `timeout_ms`, the answer is withheld, or given with a mark, as `if_unchecked`
    says. `when` it looks: at every image, or only at those whose answer is drawn on them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["image"] = "image"
    path: Annotated[str, Field(pattern=_FUNCTION)]
    options: dict[str, JsonValue] = {}
    side_px: Annotated[int, Field(ge=32, le=4096)] = 640
    timeout_ms: Annotated[int, Field(ge=1, le=600_000)] = 2000
    if_unchecked: Literal["withhold", "answer"] = "withhold"
    when: Literal["always", "overlay"] = "always"


Filter = Annotated[AbstainFilter | HookFilter | ImageFilter, Field(discriminator="kind")]


def _check_one_threshold(filters: tuple[Filter, ...]) -> tuple[Filter, ...]:
    if sum(step.kind == "abstain" for step in filters) > 1:
        raise ValueError("filters may hold one 'abstain': an answer names one threshold")
    return filters


Filters = Annotated[tuple[Filter, ...], AfterValidator(_check_one_threshold)]
