"""What the model outlines in an image."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pycocotools import mask as coco
from pydantic import BaseModel, ConfigDict, Field

from runtime.answers.classification import ModelIdentity, Prediction, to_predictions
from runtime.answers.connected_parts import find_parts, mean_by_part
from runtime.answers.outlines import Outline, outline, run_counts
from runtime.model.contract import FOREGROUND, REGION_MAP, ContractError, OutputArray, Outputs, SegmentationContract
from runtime.model.preprocess import Placement

MAX_REGIONS = 1000  # in one answer; a map of noise has a hundred thousand


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
    score: Annotated[
        float,
        Field(ge=0, le=1, description="mean probability of its pixels, at the model's scale, to be no background"),
    ]
    box: Box
    area_px: Annotated[int, Field(ge=1, description="its pixels, in the image's own")]
    area_share: Annotated[float, Field(gt=0, le=1, description="those, as a share of the image's")]
    mask: RunLengths


class Segmentation(Prediction):
    """What the model says of one image, and where in it: regions, the largest first.

    Regions do not overlap, but that one which covers no pixel's centre is given a pixel, which another may hold.
    """

    width: Annotated[int, Field(ge=1, description="of the upright image, in pixels")]
    height: Annotated[int, Field(ge=1, description="of the upright image, in pixels")]
    regions: Annotated[list[Region], Field(description=f"the largest first, at most {MAX_REGIONS}")]
    num_regions: Annotated[int, Field(ge=0, description="how many there are, also beyond those listed")]


def to_segmentations(
    outputs: Outputs, places: Sequence[Placement], contract: SegmentationContract, model: ModelIdentity
) -> list[Segmentation | None]:
    """Outline in every image what the network marks in its map, in the image's own pixels.

    outputs: those of `contract.outputs`, N rows each; maps may be of any size, as those of merged tiles are. places:
    where each image lies in its map. Returns N answers in the same order. None stands for a row with a value that is
    not finite. What a letterbox's bars hold and what `crop` does not see is no region. `runtime/answers/outlines.py`
    says by which convention cells become pixels. Raises ContractError if `region_map` names regions that the contract
    does not know.
    """
    predictions = to_predictions(outputs, contract, model)
    maps = zip(outputs[REGION_MAP], outputs[FOREGROUND], places, strict=True)
    return [
        None
        if prediction is None or not np.isfinite(foreground).all()
        else _segmentation(prediction, region_map, foreground, place, contract)
        for prediction, (region_map, foreground, place) in zip(predictions, maps, strict=True)
    ]


def _segmentation(
    prediction: Prediction,
    region_map: OutputArray,
    foreground: OutputArray,
    place: Placement,
    contract: SegmentationContract,
) -> Segmentation:
    left, top, right, bottom = place.filled
    region_map, foreground = region_map[top:bottom, left:right], foreground[top:bottom, left:right].astype(np.float64)
    parts = find_parts(np.where(foreground < contract.threshold, 0, region_map).astype(np.uint8))
    if parts.values.max(initial=1) > len(contract.regions) or (region_map == 0).any():
        raise ContractError(f"output '{REGION_MAP}' must hold 1 to {len(contract.regions)}")
    kept = np.flatnonzero(parts.sizes >= contract.min_region_px)
    listed = kept[np.argsort(-parts.sizes[kept], kind="stable")][:MAX_REGIONS]
    scores = mean_by_part(parts, foreground)
    margins = foreground - contract.threshold
    regions = [
        _region(outline(number + 1, parts, margins, place), contract, int(parts.values[number]), scores[number], place)
        for number in listed.tolist()
    ]
    regions.sort(key=lambda region: -region.area_px)
    width, height = place.picture
    return Segmentation(**dict(prediction), width=width, height=height, regions=regions, num_regions=len(kept))


def _region(runs: Outline, contract: SegmentationContract, value: int, score: float, place: Placement) -> Region:
    width, height = place.picture
    counts = {"size": [height, width], "counts": run_counts(runs, width * height)}
    left, top, right, bottom = runs.box
    return Region(
        label=contract.regions[value - 1],
        class_id=value - 1,
        score=min(1.0, max(0.0, float(score))),  # float32 may round a certain one to just above 1
        box=Box(left=left, top=top, right=right, bottom=bottom),
        area_px=runs.area_px,
        area_share=runs.area_px / (width * height),
        mask=RunLengths(size=(height, width), counts=coco.frPyObjects(counts, height, width)["counts"].decode()),
    )
