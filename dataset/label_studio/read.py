"""Label Studio's JSON export as a source of labelled pictures: `make data DATA=export.json`."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dataset.annotations import MAX_REGIONS, MaskArray, marked
from dataset.box_formats.source_boxes import SourceBox, StatedBoxes
from dataset.checks import alike_but_for_case, named
from dataset.description import DataDescription
from dataset.label_studio.answers import Answer, NoAnswer, settle
from dataset.label_studio.export_file import LabelTask, Region, read_export
from dataset.label_studio.picture_files import address_of, find_picture, picture_name
from dataset.manifest import ManifestError
from dataset.readable_name import readable
from dataset.sources.folder_names import check_names
from dataset.sources.listing import NORMAL, describe, listed
from dataset.sources.source_picture import Collection, SourcePicture

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A task that says something. name: of its picture in the data set. file: the picture."""

    task: int
    name: str
    file: Path
    answer: Answer


@dataclass(frozen=True, slots=True)
class Labelled:
    """What an export says. left_out: of each task that says nothing, by its number, why."""

    pictures: list[LabelledPicture]
    left_out: dict[int, NoAnswer]


def read_labelled(path: Path) -> Labelled:
    """Return what a JSON export says of each picture, in the order of its tasks.

    Raises ManifestError for a file that is no export, for pictures that are not there, for two tasks of one picture or
    of pictures of one name, and where several controls name classes, which leaves open which of them is the class.
    """
    return label_tasks(read_export(path), path)


def label_tasks(tasks: Sequence[LabelTask], path: Path) -> Labelled:
    """As `read_labelled`, of tasks that are read. path: of the export, beside which pictures are looked for."""
    _check_controls(tasks, path)
    pictures, left_out, absent = [], {}, []
    by_file: dict[Path, int] = {}
    by_name: dict[str, int] = {}
    for task in tasks:
        answer = settle(task)
        if isinstance(answer, NoAnswer):
            left_out[task.number] = answer
            continue
        address = address_of(task.data, task.number)
        if (file := find_picture(address, path.parent)) is None:
            absent.append(f"task {task.number} ({address})")
            continue
        if (first := by_file.setdefault(file.resolve(), task.number)) != task.number:
            both = f"tasks {first} and {task.number} of {readable(str(path))}"
            raise ManifestError(f"{both} show the same picture {file}: delete one of them")
        name = picture_name(task.data, address)
        if (first := by_name.setdefault(name, task.number)) != task.number:
            both = f"tasks {first} and {task.number} of {readable(str(path))}"
            raise ManifestError(
                f"{both} show different pictures called {readable(name)}: change `path` of one in its data"
            )
        pictures.append(LabelledPicture(task.number, name, file, answer))
    if absent:
        raise ManifestError(
            f"{len(absent)} picture(s) of {readable(str(path))} are not there: {named(absent)}. They are looked for "
            f"beside it, by the path in their address or by their name in {readable(str(path.parent / 'images'))}, and "
            "are not fetched: export together with the pictures, or put them there"
        )
    return Labelled(pictures, left_out)


def read_label_studio(path: Path, groups_csv: Path | None, normal_class: str) -> Collection:
    """List the pictures that an export labels.

    path: of the JSON. groups_csv: names objects of the pictures as their tasks name them. normal_class: the class of
    pictures of which it is said that there is nothing to mark, or ''. Tasks that say nothing are left out, with a
    warning that names them. Raises ManifestError as `read_labelled`, and for regions called as the normal class.
    """
    labelled = read_labelled(path)
    _warn(path, labelled.left_out)
    by_name = {one.name: one for one in labelled.pictures}
    check_names(path.parent, by_name)
    regions = [region for one in labelled.pictures for region in one.answer.regions]
    has_regions = bool(regions) or any(one.answer.says_nothing for one in labelled.pictures)
    normal = normal_class or (NORMAL if has_regions else "")
    names = _region_names(path, regions, normal)
    pictures, originals = [], {}
    for name, row in listed(path.parent, sorted(by_name), groups_csv).items():
        answer = by_name[name].answer
        picture = f"pictures/images/{name}"
        label = answer.label or (normal if answer.says_nothing else "")
        mask = f"pictures/masks/{name}.png" if any(region.brush for region in answer.regions) else ""
        pictures.append(SourcePicture(picture, label, row.group, mask, row.attributes))
        originals[picture] = by_name[name].file
    shown = {name: f"{readable(str(path))}, task {one.task}" for name, one in by_name.items()}
    by_mask = {f"pictures/masks/{name}.png": (shown[name], one.answer) for name, one in by_name.items()}
    boxes = {f"pictures/images/{name}": _boxes(shown[name], one.answer) for name, one in by_name.items()}
    return Collection(
        pictures, _description(path, groups_csv, normal, labelled), groups_csv is not None, originals,
        masks=BrushMasks(names, by_mask) if names else None,
        boxes=boxes if any(region.corners for region in regions) else None,
        mask_advice="Repair these tasks in Label Studio and export again",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class BrushMasks:
    """The masks of brushes; of those that overlap, the later one wins. names: sorted.

    answers: of each `mask` of a `SourcePicture`, what messages call it and what is said.
    """

    names: tuple[str, ...]
    answers: Mapping[str, tuple[str, Answer]]
    overlaps: dict[str, int] = field(default_factory=dict)

    def read(self, mask: str, label: str) -> MaskArray | None:  # noqa: ARG002 (of the protocol)
        """Return the mask as `SourceMasks` says."""
        brushes = [region for region in self.answers[mask][1].regions if region.brush]
        width, height = brushes[0].size
        drawn = np.zeros((height, width), dtype=np.uint8)
        overlap = 0
        for brush in brushes:
            inside, value = brush.mask(), self.names.index(brush.label) + 1
            overlap += int((marked(drawn) & inside & (drawn != value)).sum())
            drawn[inside] = value
        self.overlaps[mask] = overlap
        return drawn

    def shown(self, mask: str) -> str:
        """Return the export with the task."""
        return self.answers[mask][0]

    def remark(self) -> str:
        """Return how many pixels are of two regions."""
        overlaps = [pixels for pixels in self.overlaps.values() if pixels]
        if not overlaps:
            return ""
        return (
            f"brushes of different labels overlap in {len(overlaps)} picture(s), by {sum(overlaps)} pixels in all: the "
            "later one wins there"
        )


def _boxes(shown: str, answer: Answer) -> StatedBoxes:
    boxed = [region for region in answer.regions if region.corners]
    boxes = tuple(SourceBox(region.label, region.corners) for region in boxed if region.corners)
    return StatedBoxes(shown, boxes, boxed[0].size if boxed else None)


def _check_controls(tasks: Sequence[LabelTask], path: Path) -> None:
    controls = sorted({name for task in tasks for one in task.annotations for name in one.choices})
    if len(controls) > 1:
        raise ManifestError(
            f"{readable(str(path))} has choices by several controls ({named(controls)}), so that it cannot be told "
            "which is the class: export a project with one <Choices>"
        )


def _region_names(path: Path, regions: Sequence[Region], normal: str) -> tuple[str, ...]:
    """Return the labels of brushes, sorted. Raises ManifestError for labels of regions that cannot be used."""
    names = sorted({region.label for region in regions})
    if normal in names:
        raise ManifestError(
            f"{normal} is the class of pictures in which nothing is marked, and a label in {readable(str(path))}: name "
            "the class otherwise (make data DATA=... NORMAL=...)"
        )
    if alike := alike_but_for_case(names):
        raise ManifestError(f"labels of {readable(str(path))} differ in case alone: {named(alike)}")
    brushes = tuple(sorted({region.label for region in regions if region.brush}))
    if len(brushes) > MAX_REGIONS:
        raise ManifestError(f"brushes of {len(brushes)} labels, of which {MAX_REGIONS} are possible")
    return brushes


def _warn(path: Path, left_out: Mapping[int, NoAnswer]) -> None:
    if left_out:
        reasons = [f"task {number} ({why.reason})" for number, why in left_out.items()]
        logger.warning("%s: %d task(s) are left out: %s", readable(str(path)), len(left_out), named(reasons))


def _description(path: Path, groups_csv: Path | None, normal: str, labelled: Labelled) -> DataDescription:
    description = describe(path.absolute().parent, "labelled in Label Studio", groups_csv, normal)
    summary = f"Pictures labelled in Label Studio, from {readable(path.name)}."
    if labelled.left_out:
        summary += f" {len(labelled.left_out)} of its tasks say nothing and are left out."
    return description.model_copy(update={"summary": summary})
