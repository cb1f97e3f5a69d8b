"""Measure the outlines of a segmentation model on the test pictures, one picture at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dataset.annotations import Masks
from dataset.manifest import Manifest
from evaluation.analyses.slices import slice_by_attributes
from evaluation.outlines.document import Objects, Outlines, OutlineSlice, WorstOutline
from evaluation.outlines.free_response import Candidates, measure_objects
from evaluation.outlines.map_folder import Answer, MapFolder
from evaluation.outlines.overlap import dice_of, means_over_regions, measure_overlap
from evaluation.outlines.parts import ByteMap
from evaluation.outlines.picture_sums import FOUND, OVERLAP, THERE, PictureSums, measure_picture, tolerance_of
from evaluation.outlines.pixel_calibration import measure_pixel_calibration
from evaluation.outlines.region_table import REGIONS_FILE, RegionTable
from evaluation.outlines.worst import choose_worst, draw_outlines
from evaluation.params import EvaluateParams
from evaluation.picture_files import read_batch
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import Resampling, as_estimate, figure_of_sums
from project.progress import progress
from runtime.model.contract import SegmentationContract

WORST_DIR = "worst"
NOTHING_MARKED = (
    "Not measured: no test picture has a mask that marks a region, so that there is nothing to compare outlines with."
)

T = TypeVar("T")
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class MeasuredOutlines:
    """What is known of outlines; `outlines` is None where `why_not` says why.

    table: of `regions.csv`. drawings: PNGs of the worst pictures, by their files beside the document.
    """

    outlines: Outlines | None
    table: RegionTable
    drawings: dict[str, bytes] = field(default_factory=dict)
    why_not: str = ""
    file = REGIONS_FILE

    @property
    def stated(self) -> dict[str, object]:
        """Return what the document states of outlines."""
        return {"outlines": self.outlines, "no_outlines": self.why_not}


@dataclass(frozen=True)
class Subject:
    """A model's answers to the pictures of a manifest; a row is one of the predictions."""

    maps: MapFolder
    manifest: Manifest
    predictions: Predictions

    @cached_property
    def masks(self) -> Masks:
        return Masks(self.manifest, self.maps.contract)

    @cached_property
    def places(self) -> dict[str, int]:
        """Return the position in the manifest by path."""
        return {path: place for place, path in enumerate(self.manifest.table["path"])}

    def read(self, row: int) -> tuple[ByteMap, Answer]:
        """Return the truth and the answer. Raises ManifestError for a mask, PredictionsError for a map."""
        place = self.places[self.predictions.paths[row]]
        width, height = (int(self.manifest.table[side].iloc[place]) for side in ("width", "height"))
        return self.masks.read(place), self.maps.read(row, width, height)

    def measure(self, row: int) -> PictureSums:
        """Return the sums of one picture. Raises as `read`."""
        truth, answer = self.read(row)
        contract = self.maps.contract
        tolerance_px = tolerance_of(contract.height, contract.width)
        return measure_picture(truth, answer.regions, answer.foreground, len(contract.regions), tolerance_px)

    def draw(self, row: int) -> bytes:
        """Return a PNG of the picture with its outlines. Raises EvaluationError if the picture cannot be read."""
        truth, answer = self.read(row)
        file = self.manifest.root / self.predictions.paths[row]
        return draw_outlines(read_batch([file], self.maps.contract)[0], truth, answer.regions)


def measure_outlines(
    maps: MapFolder, manifest: Manifest, predictions: Predictions, params: EvaluateParams
) -> MeasuredOutlines:
    """Measure the outlines of the test pictures; see `Outlines`.

    predictions: the whole table, of which the maps are; its pictures are the manifest's. Raises ManifestError for a
    mask that cannot be read, PredictionsError for such a map, EvaluationError for a picture that is to be drawn.
    """
    subject = Subject(maps, manifest, predictions)
    rows = np.flatnonzero(predictions.splits == "test")
    sums = [subject.measure(int(row)) for row in progress(rows, "measuring outlines", unit=" pictures")]
    measured = measured_of(predictions.take(rows), sums, [maps.contract], params)
    if measured.outlines is None:
        return measured
    known = np.flatnonzero(measured.table.known_px)
    worst, drawings = _worst(subject, measured.table.take(known), rows[known])
    outlines = measured.outlines.model_copy(update={"worst": worst})
    return MeasuredOutlines(outlines, measured.table, drawings)


def measured_of(
    pictures: Predictions, sums: list[PictureSums], contracts: Sequence[SegmentationContract], params: EvaluateParams
) -> MeasuredOutlines:
    """Return the figures of pictures whose sums are given, without drawings.

    contracts: of the models that answered, of the same regions and the same size of input.
    """
    table = RegionTable(
        pictures.paths,
        pictures.groups,
        contracts[0].regions,
        np.asarray([one.num_known_px for one in sums], dtype=np.int64),
        np.stack([one.pixels for one in sums]),
    )
    if not table.pixels[:, 0, THERE].any():
        return MeasuredOutlines(None, table, why_not=NOTHING_MARKED)
    known = np.flatnonzero(table.known_px)
    num_unknown = len(sums) - len(known)
    figures = _outlines(pictures.take(known), [sums[place] for place in known], num_unknown, contracts, params)
    return MeasuredOutlines(figures, table)


def _outlines(
    pictures: Predictions, sums: list[PictureSums], num_unknown: int, contracts: Sequence[SegmentationContract],
    params: EvaluateParams,
) -> Outlines:  # fmt: skip
    """Compute all figures of pictures that count, whose sums are given."""
    contract = contracts[0]
    resampling = Resampling(pictures.groups, params)
    pixels, edges = np.stack([one.pixels for one in sums]), np.stack([one.edges for one in sums])
    names = ("", *contract.regions)
    means = means_over_regions(pixels[:, 1:], resampling)
    slices, num_smaller = _slices(pictures, pixels[:, 0], params)
    return Outlines(
        regions=contract.regions,
        height=contract.height,
        width=contract.width,
        threshold=one_of({one.threshold for one in contracts}),
        min_region_px=one_of({one.min_region_px for one in contracts}),
        num_images=len(sums),
        num_groups=resampling.num_groups,
        num_marked=int((pixels[:, 0, THERE] > 0).sum()),
        num_unknown=num_unknown,
        tolerance_px=tolerance_of(contract.height, contract.width),
        overlaps=tuple(measure_overlap(name, pixels[:, i], edges[:, i], resampling) for i, name in enumerate(names)),
        mean_iou=means.iou,
        mean_dice=means.dice,
        objects=tuple(_objects(name, region, sums, resampling) for region, name in enumerate(names)),
        calibration=measure_pixel_calibration(np.stack([one.bins for one in sums]), resampling),
        slices=slices,
        num_smaller_slices=num_smaller,
        worst=(),
    )


def one_of(values: set[T]) -> T | None:
    """Return the value that all have; None if they have several."""
    return next(iter(values)) if len(values) == 1 else None


def _objects(name: str, region: int, sums: list[PictureSums], resampling: Resampling) -> Objects:
    """Return how defects of one region are found, of any if `region` is 0."""
    found = [one.found for one in sums]
    defects = [one.defect_regions == region if region else np.full(len(one.defect_px), True) for one in found]
    parts = [one.part_regions == region if region else np.full(len(one.scores), True) for one in found]
    best = [one.found_by_own if region else one.found_by_any for one in found]
    hits = [one.is_own if region else one.is_any for one in found]
    candidates = Candidates(
        np.repeat(np.arange(len(found)), [int(chosen.sum()) for chosen in defects]),
        np.concatenate([one.defect_px[chosen] for one, chosen in zip(found, defects, strict=True)]),
        np.concatenate([scores[chosen] for scores, chosen in zip(best, defects, strict=True)]),
        np.repeat(np.arange(len(found)), [int(chosen.sum()) for chosen in parts]),
        np.concatenate([one.scores[chosen] for one, chosen in zip(found, parts, strict=True)]),
        np.concatenate([is_hit[chosen] for is_hit, chosen in zip(hits, parts, strict=True)]),
    )
    return measure_objects(name, candidates, resampling, in_detail=region == 0)


def _slices(
    pictures: Predictions, pixels: npt.NDArray[np.int64], params: EvaluateParams
) -> tuple[tuple[OutlineSlice, ...], int]:
    """Return Dice by each attribute, the lowest first; a part of the pictures without a region has none."""
    slices, num_smaller = slice_by_attributes(pictures, params.min_slice_images)
    found = []
    for part in slices:
        resampling, inside = Resampling(pictures.groups[part.rows], params), pixels[part.rows]
        bearing = {"dice": resampling.num_bearing(inside[:, THERE] > 0)}
        figure = figure_of_sums(resampling, inside.astype(np.float64), {"dice": dice_of}, bearing)["dice"]
        found.append(
            OutlineSlice(
                attribute=part.attribute,
                value=part.value,
                num_images=len(part.rows),
                num_groups=resampling.num_groups,
                dice=as_estimate(figure),
            )
        )
    lowest = sorted(found, key=lambda s: (s.dice.value is None, s.dice.value or 0.0, s.attribute, s.value))
    return tuple(lowest), num_smaller


def _worst(subject: Subject, table: RegionTable, rows: Rows) -> tuple[tuple[WorstOutline, ...], dict[str, bytes]]:
    """Return the worst pictures and their drawings; `rows` of the predictions are those of the table."""
    predictions, hashes = subject.predictions, subject.manifest.table["sha256"]
    pixels = table.pixels[:, 0]
    found, drawings = [], {}
    for number, (kind, place) in enumerate(choose_worst(pixels, table.groups, table.paths)):
        row, name = int(rows[place]), f"{kind}_{number:02d}.png"
        drawings[f"{WORST_DIR}/{name}"] = subject.draw(row)
        overlap, answered, there = (int(pixels[place, column]) for column in (OVERLAP, FOUND, THERE))
        found.append(
            WorstOutline(
                kind=kind,
                path=predictions.paths[row],
                sha256=str(hashes.iloc[subject.places[predictions.paths[row]]]),
                label=predictions.classes[predictions.labels[row]],
                group=predictions.groups[row],
                picture=f"{WORST_DIR}/{name}",
                there_px=there,
                found_px=answered,
                overlap_px=overlap,
                dice=2 * overlap / (answered + there),
            )
        )
    return tuple(found), drawings
