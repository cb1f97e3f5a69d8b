"""Read a COCO document of outlines and boxes, checked as a whole before a pixel is drawn of it."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.annotations import IGNORED, MAX_REGIONS
from dataset.box_formats.source_boxes import OUTSIDE_PX, BoxError, Corners, check_corners, check_numbers
from dataset.checks import alike_but_for_case, named
from dataset.manifest import ManifestError
from dataset.masks.run_lengths import decode_runs
from dataset.masks.source_masks import MaskError
from dataset.readable_name import readable

_KEYS = ("images", "annotations", "categories")


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One picture of a document: its name in it, its size in pixels, and the outlines in their order."""

    number: object
    file_name: str
    width: int
    height: int
    outlines: "list[Outline]"


@dataclass(frozen=True, slots=True)
class Outline:
    """One annotation.

    name: of its category. value: `i + 1` for `names[i]` of its document, or 255 where its pixels are ignored, as a
    crowd's are. segmentation: polygons, or run lengths; None where there is only a box. corners: of that, left, top,
    right and bottom in pixels; None where there is an outline, whose box is its own.
    """

    number: object
    name: str
    value: int
    segmentation: Any
    corners: Corners | None = None
    is_crowd: bool = False


@dataclass(frozen=True, slots=True)
class CocoDocument:
    """What a document holds. names: categories of its annotations, sorted. images: in their order."""

    path: Path
    names: tuple[str, ...]
    images: list[CocoImage]

    @property
    def has_outlines(self) -> bool:
        """Tell whether any annotation has more than a box."""
        return any(outline.corners is None for image in self.images for outline in image.outlines)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raises ManifestError with line and column if it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as exc:
        place = f"{readable(str(path))}, line {exc.lineno}, column {exc.colno}"
        raise ManifestError(f"{place} is no JSON: {exc.msg}") from exc
    except UnicodeDecodeError as exc:
        raise ManifestError(f"{readable(str(path))} is not UTF-8 at byte {exc.start}") from exc
    except (OSError, RecursionError) as exc:
        raise ManifestError(f"cannot read {readable(str(path))}: {exc}") from exc


def is_coco(document: Any) -> bool:
    """Tell whether what a JSON file holds is meant to be COCO's."""
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in _KEYS)


def check_coco(path: Path, document: Any) -> CocoDocument:
    """Return the document of `is_coco`. path: its file, for messages.

    Raises ManifestError for all that is wrong with it, with the numbers (`id`) of what it is wrong with.
    """
    return _Checking(path).read(document)


class _Checking:
    """One document on its way; `problems` are told together at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problems: list[str] = []

    def read(self, document: Mapping[str, Any]) -> CocoDocument:
        images = self._images(document["images"])
        categories = self._categories(document["categories"])
        used = sorted({categories[key] for entry in document["annotations"] if (key := _category(entry)) in categories})
        if len(used) > MAX_REGIONS:
            self._problems.append(f"annotations of {len(used)} categories, of which {MAX_REGIONS} are possible")
        if alike := alike_but_for_case(used):
            self._problems.append(f"categories whose names differ in case alone: {named(alike)}")
        values = {name: value for value, name in enumerate(used, start=1)}
        for number, entry in self._by_id("annotation", document["annotations"]):
            self._annotation(number, entry, images, categories, values)
        if self._problems:
            shown = f"{readable(str(self._path))}: {len(self._problems)} entries cannot be used"
            raise ManifestError(f"{shown}: {named(self._problems)}. Repair or remove them")
        return CocoDocument(self._path, tuple(used), [*images.values()])

    def _by_id(self, kind: str, entries: Iterable[Any]) -> Iterable[tuple[Any, Mapping[str, Any]]]:
        seen = set()
        for position, entry in enumerate(entries):
            number = entry.get("id") if isinstance(entry, dict) else None
            if not isinstance(number, int | str):
                self._problems.append(f"{kind} at position {position} (it has no id)")
            elif number in seen:
                self._problems.append(f"{kind} {number} (several have this id)")
            else:
                seen.add(number)
                yield number, entry

    def _images(self, entries: Iterable[Any]) -> dict[Any, CocoImage]:
        images: dict[Any, CocoImage] = {}
        names: set[str] = set()
        for number, entry in self._by_id("image", entries):
            name, width, height = (entry.get(key) for key in ("file_name", "width", "height"))
            if not isinstance(name, str) or not name:
                self._problems.append(f"image {number} (it has no file_name)")
            elif name in names:
                self._problems.append(f"image {number} (several have the file_name {name})")
            elif isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
                images[number] = CocoImage(number, name, width, height, [])
            else:
                self._problems.append(f"image {number}, {name} (its width and height are {width} and {height})")
            names.add(str(name))
        return images

    def _categories(self, entries: Iterable[Any]) -> dict[Any, str]:
        found: dict[Any, str] = {}
        for number, entry in self._by_id("category", entries):
            name = entry.get("name")
            if not isinstance(name, str) or not name.strip() or not name.isprintable():
                self._problems.append(f"category {number} (its name is {name!r})")
            elif name.strip() in found.values():
                self._problems.append(f"category {number} (several are called {name.strip()})")
            else:
                found[number] = name.strip()
        return found

    def _annotation(
        self, number: Any, entry: Mapping[str, Any], images: Mapping[Any, CocoImage], categories: Mapping[Any, str],
        values: Mapping[str, int],
    ) -> None:  # fmt: skip
        image, category = entry.get("image_id"), _category(entry)
        if not isinstance(image, int | str) or image not in images:
            self._problems.append(f"annotation {number} (its image_id {image!r} is that of no image)")
        elif category not in categories:
            problem = f"its category_id {category!r} is that of no category"
            self._problems.append(f"annotation {number} of {images[image].file_name} ({problem})")
        else:
            try:
                outline = _outline(number, entry, images[image], categories[category], values)
                images[image].outlines.append(outline)
            except (MaskError, BoxError) as exc:
                self._problems.append(f"annotation {number} of {images[image].file_name} ({exc})")


def _category(entry: Any) -> Any:
    number = entry.get("category_id") if isinstance(entry, dict) else None
    return number if isinstance(number, int | str) else None


def _outline(
    number: object, entry: Mapping[str, Any], image: CocoImage, name: str, values: Mapping[str, int]
) -> Outline:
    """Return a checked annotation. Raises MaskError for its outline, BoxError for its box."""
    segmentation, is_crowd = entry.get("segmentation"), bool(entry.get("iscrowd"))
    if not segmentation and entry.get("bbox") is not None:
        left, top, width, height = check_numbers(entry["bbox"], "left, top, width and height")
        corners = check_corners((left, top, left + width, top + height), image.width, image.height)
        return Outline(number, name, IGNORED, None, corners, is_crowd)
    _check_segmentation(segmentation, image)
    return Outline(number, name, IGNORED if is_crowd else values[name], segmentation, None, is_crowd)


def _check_segmentation(segmentation: Any, image: CocoImage) -> None:
    """Raise MaskError for an outline that is none, or lies outside its picture."""
    if isinstance(segmentation, dict):
        if (size := segmentation.get("size")) != [image.height, image.width]:
            raise MaskError(f"its size is {size}, and its image {[image.height, image.width]}, height and width")
        decode_runs(segmentation.get("counts"), image.height, image.width)
        return
    if not isinstance(segmentation, list) or not segmentation:
        raise MaskError("it has no outline: segmentation must hold polygons or run lengths, or bbox a box")
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise MaskError("a polygon has x and y of at least 3 points")
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in polygon):
            raise MaskError("a polygon holds what is no number")
        for values, side, what in ((polygon[::2], image.width, "x"), (polygon[1::2], image.height, "y")):
            if min(values) < -OUTSIDE_PX or max(values) > side + OUTSIDE_PX:
                lies = f"its {what} goes from {min(values):g} to {max(values):g}"
                raise MaskError(f"{lies}, and the picture is {image.width} x {image.height}")
