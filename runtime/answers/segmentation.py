"""What the model outlines in an image."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from runtime.answers.results import Prediction


class Box(BaseModel):
    """The smallest upright rectangle around a region, in pixels of the upright image; right and bottom are outside."""

    model_config = ConfigDict(frozen=True)

    left: Annotated[int, Field(ge=0)]
    top: Annotated[int, Field(ge=0)]
    right: Annotated[int, Field(ge=1)]
    bottom: Annotated[int, Field(ge=1)]


class RunLengths(BaseModel):
    """A mask of the image's own size in COCO's compressed run-length encoding; pycocotools reads it."""

    model_config = ConfigDict(frozen=True)

    size: Annotated[tuple[int, int], Field(description="height and width of the upright image in pixels")]
    counts: Annotated[str, Field(description="COCO's compressed run lengths, column by column")]


class Region(BaseModel):
    """One connected part of an image."""

    model_config = ConfigDict(frozen=True)

    label: Annotated[str, Field(description="what it is")]
    class_id: Annotated[int, Field(ge=0, description="index of that name in the contract's regions")]
    score: Annotated[float, Field(ge=0, le=1, description="mean probability of its pixels to be no background")]
    box: Box
    area_px: Annotated[int, Field(ge=1, description="its pixels, in the image's own")]
    area_share: Annotated[float, Field(gt=0, le=1, description="those, as a share of the image's")]
    mask: RunLengths


class Segmentation(Prediction):
    """What the model says of one image, and where in it: regions, the largest first."""

    width: Annotated[int, Field(ge=1, description="of the upright image, in pixels")]
    height: Annotated[int, Field(ge=1, description="of the upright image, in pixels")]
    regions: list[Region]
