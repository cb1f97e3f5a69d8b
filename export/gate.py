"""The gate before the model store and the Bento: a model worse than the one that is there is refused.

Both are measured on the same test pictures, and only on pictures of groups that neither was trained or chosen on. If
the data or their split changed since the registered model was trained, it is asked again about the pictures that are
fair to it; if a class has none, nothing can be said and the new model is refused by name.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.checks import named
from dataset.manifest import Manifest, ManifestError
from evaluation.boxes.object_table import ObjectTable
from evaluation.comparison import Comparison
from evaluation.document import EvaluationError
from evaluation.outlines.region_table import RegionTable
from evaluation.params import EvaluateParams
from evaluation.picture_files import read_batch
from evaluation.predictions import Predictions, PredictionsError
from evaluation.statistics.paired import compare_predictions
from export.boxes import BoxCollection, find_ap_drops
from export.data_seen import data_seen
from export.drops import Compared, drops_beyond
from export.measured_model import MeasuredModel
from export.outlines import PixelCounts, find_dice_drops
from export.params import GateParams
from export.same_data import unknown_classes
from project.params import ParamsError, add_params_option, read_section
from runtime.model.contract import PROBABILITIES, ContractError, DetectionContract, SegmentationContract
from runtime.model.session import Predictor

_CANNOT_COMPARE = (ContractError, EvaluationError, ManifestError, PredictionsError)
_BATCH_SIZE = 32
REASON_LABEL = "gate_reason"  # why it was compared with that model, or with none


class GateError(ValueError):
    """A model that is worse than the registered one, or that cannot be compared with it."""


KNOWN_ERRORS = (GateError, ParamsError, *_CANNOT_COMPARE)


@dataclass(frozen=True)
class Gate:
    """The margins, how intervals are computed, and where the comparison is written."""

    margins: GateParams
    evaluate: EvaluateParams
    out_dir: Path
    accept_worse: str = ""  # why a worse or incomparable model is let through; empty to refuse it

    def admit(self, candidate: MeasuredModel, reference: MeasuredModel, reason: str) -> dict[str, str]:
        """Return the labels that record the outcome. Raises GateError if the candidate is refused.

        reason: why it is compared with this reference. Pictures that changed are shown on the page written to
        `out_dir` if the candidate's manifest has them.
        """
        try:
            fair = fair_test(candidate, reference)
            names, hashes = (reference.name, candidate.name), _hashes(candidate.manifest)
            comparison = compare_predictions(fair.before, fair.after, names, self.evaluate, hashes, fair.notes)
            drops = find_drops(comparison, self.margins) + self._located_drops(fair)
        except (GateError, *_CANNOT_COMPARE) as exc:
            return self._accepted(f"not comparable with {reference.name}", str(exc), reason)
        page = _write_page(comparison, self.out_dir, candidate.manifest.root, drops)
        if not drops:
            return {
                "gate": f"no worse than {reference.name} on {comparison.num_images} test pictures",
                REASON_LABEL: reason,
            }
        return self._accepted(
            f"worse than {reference.name}",
            f"the model is worse than {reference.name} on the same {comparison.num_images} test pictures: "
            f"{'; '.join(drops)}. Every picture that changed: {page}",
            reason,
        )

    def _located_drops(self, fair: "FairTest") -> tuple[str, ...]:
        """Raises EvaluationError if boxes were measured against others than those of the data."""
        paths = list(fair.after.paths)
        if fair.regions:
            return find_dice_drops(*fair.regions, paths, self.margins.max_dice_drop)
        return find_ap_drops(*fair.objects, paths, self.margins.max_ap_drop, self.evaluate) if fair.objects else ()

    def _accepted(self, outcome: str, problem: str, reason: str) -> dict[str, str]:
        if not self.accept_worse:
            raise GateError(
                f"{problem}. It was {reason}. To take it all the same, say why: --accept-worse REASON (make "
                "ACCEPT_WORSE=); if they are models for different things, name each in gate.task"
            )
        return {"gate": outcome, REASON_LABEL: reason, "accepted_worse": self.accept_worse}


def _write_page(comparison: Comparison, out_dir: Path, pictures_dir: Path, drops: tuple[str, ...]) -> Path:
    """Write the comparison with its verdict, and with the pictures that changed if they are there; return the page."""
    # Drawing loads matplotlib, which a gate that compares nothing does without.
    from evaluation.pages.comparison_page import PAGE_FILE, Verdict, write_comparison

    first = comparison.first
    title = f"Worse than {first}" if drops else f"No worse than {first} beyond the margins"
    has_pictures = all((pictures_dir / c.path).is_file() for c in (*comparison.fixed, *comparison.broken))
    write_comparison(comparison, out_dir, pictures_dir if has_pictures else None, Verdict(title, not drops, drops))
    return out_dir / PAGE_FILE


def find_drops(comparison: Comparison, margins: GateParams) -> tuple[str, ...]:
    """Say which figures fall by more than their margin, from the estimates; intervals are on the page.

    Macro-F1 is over one class more as soon as one picture is called so, and thus says nothing where classes were added.
    """
    has_added = any(part.num_images == 0 for part in comparison.per_class)
    figures = [] if has_added else [("macro-F1", comparison.macro_f1, margins.max_macro_f1_drop)]
    figures += [(f"recall of {part.name}", part.recall, margins.max_recall_drop) for part in comparison.per_class]
    return drops_beyond(Compared(name, part.first, part.second, limit) for name, part, limit in figures)


class FairTest(NamedTuple):
    """What the earlier model and the new one say of the pictures that are fair to both, in the order of `after`.

    regions: both models' pixels of at least these pictures, of segmentation, objects: their boxes, of detection; None
    otherwise. notes: what was left out.
    """

    before: Predictions
    after: Predictions
    regions: tuple[RegionTable, RegionTable] | None
    objects: tuple[ObjectTable, ObjectTable] | None
    notes: tuple[str, ...]


def fair_test(candidate: MeasuredModel, reference: MeasuredModel) -> FairTest:
    """Return the candidate's test pictures without those that are unfair to either.

    Pictures of classes that only the candidate knows are left out, its answers are not: of what the reference knew, a
    picture that is called by a new name is lost. Raises GateError if the candidate lacks a class, a region or an
    object of the reference, or if a class has no picture that the reference was not trained or chosen on.
    """
    _refuse_lost(candidate, reference)
    added = unknown_classes(candidate, reference)
    test = candidate.predictions.select("test")
    notes = []
    if added:
        known = [test.classes.index(name) for name in reference.predictions.classes]
        test = test.take(np.flatnonzero(np.isin(test.labels, known)))
        notes.append(f"{reference.name} does not know {named(added)}: pictures of these are left out.")
    if candidate.data_sha256 == reference.data_sha256:
        before, regions_before = reference.predictions.select("test"), reference.regions
        objects_before = reference.objects
    else:
        num_test, test = len(test.paths), _fair_pictures(candidate, reference, test)
        notes.append(
            f"The data or their split changed since {reference.name} was trained: {data_seen(candidate, reference)}. "
            f"It was asked again about the {len(test.paths)} of {num_test} test pictures whose groups it was neither "
            "trained nor chosen on."
        )
        before, regions_before, objects_before = predict_again(reference.model_dir, test, candidate.manifest)
    regions = (regions_before, candidate.regions) if regions_before and candidate.regions else None
    objects = (objects_before, candidate.objects) if objects_before and candidate.objects else None
    return FairTest(_over(before, test.classes), test, regions, objects, tuple(notes))


def _refuse_lost(candidate: MeasuredModel, reference: MeasuredModel) -> None:
    """Raise GateError if the reference tells apart, outlines or finds what the candidate does not."""
    lost = {"knows": unknown_classes(reference, candidate)}
    if reference.regions and candidate.regions:
        lost["outlines"] = sorted(set(reference.regions.regions) - set(candidate.regions.regions))
    if reference.objects and candidate.objects:
        lost["finds"] = sorted(set(reference.objects.objects) - set(candidate.objects.objects))
    for does, names in lost.items():
        if names:
            raise GateError(
                f"{reference.name} {does} {named(names)}, which this model does not: they cannot be compared"
            )


def _hashes(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.table["path"], manifest.table["sha256"], strict=True))


def _over(predictions: Predictions, classes: tuple[str, ...]) -> Predictions:
    """Return predictions over more classes, those that the model does not know with a probability of 0."""
    if set(classes) == set(predictions.classes):
        return predictions
    columns = np.asarray([classes.index(name) for name in predictions.classes], dtype=np.int64)
    probs = np.zeros((len(predictions.labels), len(classes)))
    probs[:, columns] = predictions.probs
    return replace(predictions, labels=columns[predictions.labels], probs=probs, classes=classes)


def _fair_pictures(candidate: MeasuredModel, reference: MeasuredModel, test: Predictions) -> Predictions:
    """Return the test pictures of groups without a file among the reference's training and validation pictures.

    A group's name may mean another object in other data, so files count, not names. Validation pictures count as seen:
    training and its settings were chosen on them.
    """
    old, new = reference.manifest.table, candidate.manifest.table
    seen_files = set(old.loc[old["split"].isin(["train", "val"]), "sha256"])
    seen_groups = set(new.loc[new["sha256"].isin(seen_files), "group"])
    is_fair = np.asarray([group not in seen_groups for group in test.groups])
    without = [test.classes[label] for label in np.unique(test.labels) if not is_fair[test.labels == label].any()]
    if without:
        raise GateError(
            f"the data or their split changed since {reference.name} was trained: it was trained or chosen on every "
            f"test picture of {named(without)}, so a comparison would not be fair"
        )
    return test.take(np.flatnonzero(is_fair))


def predict_again(
    model_dir: Path, pictures: Predictions, manifest: Manifest
) -> tuple[Predictions, RegionTable | None, ObjectTable | None]:
    """Return what a registered model's ONNX graph says of these pictures.

    Of segmentation also the pixels it outlines, of detection what it finds. Raises EvaluationError if a picture cannot
    be read, ManifestError if a mask or a box cannot be or is of what the model does not know.
    """
    predictor = Predictor.load(model_dir, device="cpu")
    contract, probs = predictor.contract, []
    counts = PixelCounts(manifest, contract) if isinstance(contract, SegmentationContract) else None
    boxes = BoxCollection(manifest, contract) if isinstance(contract, DetectionContract) else None
    for start in range(0, len(pictures.paths), _BATCH_SIZE):
        paths = pictures.paths[start : start + _BATCH_SIZE].tolist()
        outputs = predictor.predict(read_batch([manifest.root / path for path in paths], contract))
        probs.append(outputs[PROBABILITIES])
        if counts:
            counts.add(paths, outputs)
        if boxes:
            boxes.add(paths, outputs)
    labels = np.asarray([contract.classes.index(pictures.classes[label]) for label in pictures.labels], dtype=np.int64)
    answers = replace(pictures, labels=labels, probs=np.concatenate(probs).astype(np.float64), classes=contract.classes)
    return answers, counts.table(pictures) if counts else None, boxes.table(pictures) if boxes else None


def add_gate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what both commands behind the gate take."""
    add_params_option(parser)
    parser.add_argument("--accept-worse", metavar="REASON", default="", help="let a worse model through; recorded")
    parser.add_argument("--comparison", type=Path, default=Path("artifacts/comparison"), help="where it is written")


def read_gate(arguments: argparse.Namespace) -> Gate:
    """Read the gate's settings. Raises ParamsError if a section is missing or malformed."""
    margins = read_section(arguments.params, "gate", GateParams)
    evaluate = read_section(arguments.params, "evaluate", EvaluateParams)
    return Gate(margins, evaluate, arguments.comparison, arguments.accept_worse.strip())


def first_of_its_data(name: str, reason: str) -> dict[str, str]:
    """Return the labels of a model that is compared with none."""
    return {"gate": f"first model of the data {name}: there is none to compare with", REASON_LABEL: reason}


def outcome_in_words(labels: Mapping[str, str]) -> str:
    """Write the outcome that labels record, for a person."""
    accepted = f"; accepted, because: {labels['accepted_worse']}" if "accepted_worse" in labels else ""
    reason = f"\n{labels[REASON_LABEL]}" if REASON_LABEL in labels else ""
    return f"gate: {labels.get('gate', 'not asked')}{accepted}{reason}"
