"""Drawn marks, and what an ideal network would answer of a picture of them: its map is the picture, resized."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from runtime.answers.classification import ModelIdentity
from runtime.answers.segmentation import Region, Segmentation, to_segmentations
from runtime.model.contract import Outputs, ResizeRule, SegmentationContract
from runtime.model.image import ImageArray
from runtime.model.preprocess import Placement

MODEL = ModelIdentity(name="m", version="1", sha256="0" * 64)
Mask = NDArray[np.bool_]
# By EXIF orientation: what makes the stored picture of the upright one.
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def segmenter(
    height: int = 24, width: int = 32, resize: ResizeRule = "stretch", **more: object
) -> SegmentationContract:
    fields = {"classes": ("crack", "free", "hole"), "regions": ("crack", "hole"), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return SegmentationContract.model_validate(fields | {"height": height, "width": width, "resize": resize} | more)


def encoded(marked: Mask, kind: str, orientation: int = 1) -> bytes:
    """Return a file of a black picture with white marks; `marked` is upright."""
    image = Image.fromarray(marked.astype(np.uint8) * 255).convert("RGB")
    exif, file = Image.Exif(), io.BytesIO()
    if orientation > 1:
        exif[0x0112] = orientation
        image = image.transpose(_STORED[orientation])
    image.save(file, kind, quality=95, exif=exif)
    return file.getvalue()


def ideal_outputs(pixels: ImageArray, value: int = 1) -> Outputs:
    """Return what a network would answer that sees exactly what is white; bars, which are grey, count as marked."""
    return outputs_of((pixels[..., 0] / 255).astype(np.float32), np.full(pixels.shape[:2], value, np.uint8))


def outputs_of(foreground: NDArray[np.float32], region_map: NDArray[np.uint8]) -> Outputs:
    probabilities = np.array([[0.7, 0.2, 0.1]], np.float32)
    return {
        "probabilities": probabilities,
        "logits": np.log(probabilities),
        "region_map": region_map[None],
        "foreground": foreground[None],
    }


def answer_of(outputs: Outputs, place: Placement, contract: SegmentationContract) -> Segmentation:
    [answer] = to_segmentations(outputs, [place], contract, MODEL)
    assert answer is not None
    check_consistent(answer)
    return answer


def answer_with(
    foreground: NDArray[np.float32], region_map: NDArray[np.uint8], width: int, height: int
) -> Segmentation:
    place = Placement((0, 0, width, height), (0, 0, *foreground.shape[::-1]), (width, height))
    return answer_of(outputs_of(foreground, region_map), place, segmenter(*foreground.shape, threshold=0.4))


def two_regions(width: int, height: int) -> Segmentation:
    foreground, region_map = np.zeros((24, 32), np.float32), np.ones((24, 32), np.uint8)
    foreground[4:10, 4:14] = foreground[14:20, 20:28] = 1
    region_map[14:20] = 2
    return answer_with(foreground, region_map, width, height)


def pixels_of(region: Region) -> Mask:
    """Return the mask as pycocotools reads it."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools with NumPy 2
        return np.asarray(coco.decode({"size": list(region.mask.size), "counts": region.mask.counts})).astype(bool)


def check_consistent(answer: Segmentation) -> None:
    """Every region's mask, box and area say the same, and no two regions share a pixel unless they have only one."""
    taken = np.zeros((answer.height, answer.width), int)
    for region in answer.regions:
        mask = pixels_of(region)
        assert mask.shape == (answer.height, answer.width)
        assert mask.sum() == region.area_px
        assert region.area_share == region.area_px / mask.size
        rows, columns = np.nonzero(mask)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert (region.box.left, region.box.top, region.box.right, region.box.bottom) == box
        again = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert again["counts"].decode() == region.mask.counts
        taken += mask if region.area_px > 1 else 0
    assert taken.max() <= 1
    areas = [region.area_px for region in answer.regions]
    assert areas == sorted(areas, reverse=True)
