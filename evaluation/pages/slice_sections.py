"""What report and model card say of slices: those that are weaker than the rest, and those by attribute."""

from collections.abc import Collection, Mapping

from evaluation.analyses.image_statistics import statistics_in_words
from evaluation.analyses.weak_slices import SliceSearch, WeakSlice
from evaluation.document import WrongPrediction
from evaluation.evaluation import Evaluation
from evaluation.pages import sections as s
from evaluation.pages.wording import conditions_in_words, counted, figure, p_value

_MAX_TESTED = 10  # slices in the table
_MAX_GALLERIES = 3  # weak slices whose errors are shown
_MAX_ERRORS, _ERRORS_IN_CARD = 4, 3  # of each of these slices
_SLICES_IN_CARD = 5  # by attribute

Hashes = Mapping[str, str]


def slices_section(evaluation: Evaluation, hashes: Hashes, attributes: Collection[str]) -> s.Section:
    """Say where the model is weak. hashes: picture's path -> SHA-256. attributes: names that the manifest states."""
    search = evaluation.slice_search
    blocks: list[s.Block] = list(search_blocks(search, hashes, attributes)) if search else []
    if evaluation.slices:
        blocks += _by_attribute(evaluation)
    elif not search:
        smaller = f"Every slice has fewer than {evaluation.min_slice_images} test images; none is shown."
        none = "The data name no attribute with more than one value."
        blocks.append(s.Paragraph(smaller if evaluation.num_smaller_slices else none))
    in_card = search is not None or bool(evaluation.slices)
    return s.Section("slices", "Where it is weak", tuple(blocks), "Weak slices", in_card=in_card)


def search_blocks(search: SliceSearch, hashes: Hashes, attributes: Collection[str] = ()) -> tuple[s.Block, ...]:
    """Name the slices that are weaker than the rest, with the most confident errors in each."""
    weak = [part for part in search.slices if part.is_weak]
    blocks: list[s.Block] = [s.Paragraph(_verdict(search))]
    if search.slices:
        explained: tuple[s.Block, ...] = (_table(search), s.Paragraph(_notes(search, attributes), is_note=True))
        blocks += explained if weak else [s.Detail(explained)]
    for part in weak[:_MAX_GALLERIES]:
        if part.wrong:
            blocks += _errors(part, hashes)
    return tuple(blocks)


def _verdict(search: SliceSearch) -> tuple[str | s.Strong, ...]:
    by = f" (by {', '.join(search.attributes)}, alone and in pairs)" if search.attributes else ""
    correction = f"after correction for the number of slices tested ({search.correction}; at most {search.alpha:g})"
    if not search.num_tested:
        compared: tuple[str | s.Strong, ...] = (
            f"No slice{by} has {search.min_images} images of {search.min_groups} groups: none was compared with the "
            "rest.",
        )
    else:
        was = "was" if search.num_tested == 1 else "were"
        compared = (f"{counted(search.num_tested, 'slice')} of these images{by} {was} compared with the rest. ",)
        if search.num_weak:
            is_weak = f"{search.num_weak} {'is' if search.num_weak == 1 else 'are'} significantly weaker"
            compared += (s.Strong(is_weak), f" {correction}.")
        else:
            compared += (f"None is significantly weaker {correction}.",)
    if search.num_too_small:
        was = "was" if search.num_too_small == 1 else "were"
        few = f"fewer than {search.min_images} images or {search.min_groups} groups"
        compared += (f" {counted(search.num_too_small, 'further slice')} with {few} {was} not tested.",)
    return compared


def _table(search: SliceSearch) -> s.Table:
    rows = tuple(
        (
            _name(part),
            f"{part.num_images} ({part.num_groups})",
            s.measured(part.accuracy),
            s.measured(part.rest_accuracy),
            p_value(part.p_value),
            p_value(part.adjusted_p_value),
        )
        for part in search.slices[:_MAX_TESTED]
    )
    return s.Table(("Slice", "Images (groups)", "Accuracy", "Accuracy of the rest", "p", "Adjusted p"), rows)


def _name(part: WeakSlice) -> s.Line:
    conditions = conditions_in_words(part.conditions)
    return (conditions, s.Badge("WEAK")) if part.is_weak else conditions


def _notes(search: SliceSearch, attributes: Collection[str]) -> tuple[str, ...]:
    """Explain the table. attributes: names that the manifest states, which are no statistics of pixels."""
    parts = s.prose(
        f"{_MAX_TESTED} of {search.num_tested} tested: weak ones first, of these slices of one condition before those "
        "of two, then by p."
        if len(search.slices) > _MAX_TESTED
        else "",
        "p: the probability of an accuracy this low if the slice were like the rest; adjusted: corrected for the "
        "number of slices. The rest: all other images.",
        statistics_in_words(search.attributes, attributes),
    )
    return tuple(str(part) for part in parts)


def _errors(part: WeakSlice, hashes: Hashes) -> tuple[s.Block, ...]:
    conditions = conditions_in_words(part.conditions)
    told = (
        f"{figure(part.accuracy.value)} of {counted(part.num_images, 'image')} right, "
        f"{figure(part.rest_accuracy.value)} of the rest. The most confident errors where {conditions}:"
    )
    pictures = tuple(mistake(item, hashes) for item in part.wrong[:_MAX_ERRORS])
    return s.Heading(conditions), s.Paragraph(told), s.Gallery(pictures, in_card=_ERRORS_IN_CARD)


def _by_attribute(evaluation: Evaluation) -> tuple[s.Block, ...]:
    rows = tuple(
        (
            f"{part.attribute}: {part.value or 'not stated'}", f"{part.num_images} ({part.num_groups})",
            s.measured(part.accuracy), s.measured(part.macro_f1),
        )
        for part in evaluation.slices
    )  # fmt: skip
    smaller = (
        f"{counted(evaluation.num_smaller_slices, 'slice')} with fewer than {evaluation.min_slice_images} images left "
        "out."
        if evaluation.num_smaller_slices
        else ""
    )
    note = s.prose("Lowest accuracy first. Macro-F1 is the mean over the classes within a slice.", smaller)
    table = s.Table(("Slice", "Images (groups)", "Accuracy", "Macro-F1"), rows, in_card=_SLICES_IN_CARD)
    return s.Heading("By attribute"), table, s.Paragraph(note, is_note=True)


def mistake(item: WrongPrediction, hashes: Hashes) -> s.Picture:
    """Show one wrong answer."""
    return s.Picture(
        (item.path,),
        (
            ("is ", s.Strong(item.label), f", {figure(item.label_probability)}"),
            ("called ", s.Strong(item.predicted), f", {figure(item.probability)}"),
        ),
        (s.Provenance(item.path, item.group, hashes[item.path]),),
    )
