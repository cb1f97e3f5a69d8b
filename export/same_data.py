"""Which registered models the gate compares with: those made of the same data, known by the pictures themselves.

A folder's name says little: two projects both keep theirs in `images`, and one project's folder is called otherwise
each month. So two models are of the same data if enough pictures of the smaller data set are in the other one too, the
same file with the same label; or, whatever the pictures are, if `gate.task` states the same for both.

Of the same pictures a model that tells other classes apart is made for another task. But one to which classes were
added takes the place of the earlier one, so it must still know what that knew: it is compared.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from dataset.checks import named
from dataset.manifest import PICTURE_SHA256, Manifest
from dataset.splitting.versions import are_same_data
from export.measured_model import MeasuredModel, find_measured_model


@dataclass(frozen=True)
class Kinship:
    """Whether two models are of the same data, and what tells it, as the end of a sentence."""

    is_same: bool
    reason: str


@dataclass(frozen=True)
class Found:
    """The first registered model of the same data, if there is one, and why it or why none is compared with."""

    reference: MeasuredModel | None
    reason: str


def kinship(candidate: MeasuredModel, reference: MeasuredModel) -> Kinship:
    """Tell by the stated tasks if both state one, else by the pictures that both have with the same label."""
    if candidate.task and reference.task:
        if candidate.task == reference.task:
            return Kinship(True, f"gate.task is '{candidate.task}' for both")
        return Kinship(False, f"gate.task is '{candidate.task}' here and '{reference.task}' there")
    ours, theirs = _labelled_files(candidate), _labelled_files(reference)
    is_same = are_same_data(ours, theirs)
    reason = f"{len(ours & theirs)} of {len(ours)} pictures are in its data with the same label"
    if not is_same and candidate.data.name == reference.data.name:
        reason += f", though both are called '{candidate.data.name}'"
    lost = unknown_classes(reference, candidate)
    if is_same and lost:
        return Kinship(False, f"{reason}, but it knows {named(lost)}, which this model does not: another task")
    return Kinship(is_same, reason)


def unknown_classes(model: MeasuredModel, other: MeasuredModel) -> list[str]:
    """Return the classes of `model` that `other` does not know."""
    return sorted(set(model.predictions.classes) - set(other.predictions.classes))


def find_reference(candidate: MeasuredModel, tags: Iterable[str]) -> Found:
    """Return the first of these registered models, all of its task, that is of the candidate's data and classes.

    If there is none of its classes, one with fewer of them; among models of one stated task simply the first.
    """
    others: list[str] = []
    num_unmeasured, smaller = 0, None
    for tag in tags:
        reference = find_measured_model(tag)
        if reference is None:
            num_unmeasured += 1
            continue
        found = kinship(candidate, reference)
        added = unknown_classes(candidate, reference)
        if not found.is_same:
            others.append(f"{reference.name}: {found.reason}")
        elif not added or candidate.task == reference.task != "":
            return Found(reference, f"compared with {reference.name} because {found.reason}")
        elif smaller is None:
            reason = f"{found.reason}; it does not know {named(added)}, so pictures of the other classes count"
            smaller = Found(reference, f"compared with {reference.name} because {reason}")
    if smaller is not None:
        return smaller
    if not others and not num_unmeasured:
        return Found(None, "compared with none because no other model is registered")
    parts = [f"of {len(others)} registered none is of this data, the newest being {others[0]}"] if others else []
    if num_unmeasured:
        parts.append(f"{num_unmeasured} registered came without what they were measured on")
    return Found(None, f"compared with none because {'; '.join(parts)}")


def shares_pictures(crops: Manifest, pictures: Manifest) -> bool:
    """Tell whether crops were cut out of these pictures, or of enough of the smaller of both data sets."""
    return are_same_data({*crops.table[PICTURE_SHA256]}, {*pictures.table["sha256"]})


def _labelled_files(model: MeasuredModel) -> set[tuple[str, str]]:
    table = model.manifest.table
    return set(zip(table["sha256"], table["label"], strict=True))
