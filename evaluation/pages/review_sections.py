"""Sections of report and model card on labels to look at again, robustness and where the model looks."""

from collections.abc import Mapping
from functools import partial

from evaluation.analyses.label_review import LabelReview, NearDuplicate
from evaluation.analyses.robustness import Robustness
from evaluation.evaluation import Evaluation
from evaluation.model_review import ModelReview
from evaluation.pages import sections as s
from evaluation.pages.curves import draw_robustness
from evaluation.pages.wording import confidence, counted, estimate_in_words, figure, number, setting

_MAX_LISTED = 12  # label issues and outliers shown
_MAX_PAIRS = 6  # near-duplicates shown


def labels_section(evaluation: Evaluation, hashes: Mapping[str, str]) -> s.Section:
    """Say which labels and pictures a person should look at again. hashes: picture's path -> SHA-256."""
    name, title, review = "labels", "Labels and pictures to look at again", evaluation.label_review
    if review is None:
        return s.Section(name, title, (s.Paragraph("Not measured."),), "Labels to review", in_card=False)
    issues = tuple(
        s.Picture(
            (item.path,),
            (
                ("labelled ", s.Strong(item.label), f", {figure(item.quality)}"),
                ("perhaps ", s.Strong(item.suggested_label)),
            ),
            (s.Provenance(f"{item.path} ({item.split})", item.group, item.sha256),),
        )
        for item in review.label_issues[:_MAX_LISTED]
    )
    outliers = tuple(
        s.Picture(
            (item.path,),
            (f"{item.statistic} {number(item.value)}", f"median {number(item.median)}"),
            (s.Provenance(f"{item.path} ({item.split}, {item.label})", "", item.sha256),),
        )
        for item in review.outliers[:_MAX_LISTED]
    )
    same = tuple(_pair(pair, hashes) for pair in review.contradictions[:_MAX_PAIRS])
    alike = tuple(_pair(pair, hashes) for pair in review.near_duplicates[:_MAX_PAIRS])
    galleries = (
        *_listed("Likely label errors", issues, review.num_label_issues),
        *_listed("The same picture under two labels", same, review.num_contradictions),
        *_listed("Alike in different splits", alike, review.num_near_duplicates),
        *_listed("Unlike the others", outliers, review.num_outliers),
    )
    return s.Section(name, title, (s.Paragraph(_candidates(review)), s.Detail(galleries)), "Labels to review")


def _candidates(review: LabelReview) -> tuple[s.Inline, ...]:
    issues, same, outliers = review.num_label_issues, review.num_contradictions, review.num_outliers
    return s.prose(
        f"Among {counted(review.num_checked, 'validation and test image')}, the model disagrees with "
        f"{counted(issues, 'label')} so confidently that {'it' if issues == 1 else 'they'} may be wrong.",
        f"{counted(review.num_near_duplicates, 'pair')} of images in different splits "
        f"{'correlates' if review.num_near_duplicates == 1 else 'correlate'} above "
        f"{review.near_duplicate_correlation:g}.",
        f"{counted(same, 'pair')} of files {'shows' if same == 1 else 'show'} the same picture under two labels."
        if same
        else "",
        f"{counted(outliers, 'image')} {'lies' if outliers == 1 else 'lie'} more than "
        f"{setting(review.outlier_deviation)} robust standard deviations from the others. These are candidates for a "
        "person to check. None was corrected or left out: all figures are of the labels as they are.",
    )


def _listed(title: str, pictures: tuple[s.Picture, ...], number_in_all: int) -> tuple[s.Block, ...]:
    if not pictures:
        return ()
    gallery = s.Gallery(pictures, is_wide=len(pictures[0].files) > 1)
    if number_in_all <= len(pictures):
        return s.Heading(title), gallery
    note = f"The first {len(pictures)} of {number_in_all}, the most striking ones."
    return s.Heading(title), gallery, s.Paragraph(note, is_note=True)


def _pair(pair: NearDuplicate, hashes: Mapping[str, str]) -> s.Picture:
    labels = s.Strong(f"labels differ: {pair.label} and {pair.other_label}")
    correlation = f"correlation {figure(pair.correlation)}"
    return s.Picture(
        (pair.path, pair.other_path),
        (correlation if pair.same_label else (f"{correlation}; ", labels),),
        (
            s.Provenance(f"{pair.path} ({pair.split})", "", hashes[pair.path]),
            s.Provenance(f"{pair.other_path} ({pair.other_split})", "", hashes[pair.other_path]),
        ),
    )


def review_sections(evaluation: Evaluation, review: ModelReview | None) -> tuple[s.Section, ...]:
    """Say how robust the exported model is and where it looks; without a review, why nothing is said."""
    if review is None:
        missing = "Robustness and attention need the exported model; `make card` makes the report that has them."
        told = (s.Paragraph(missing),)
        return (s.Section("robustness", "Robustness to changes of the picture", told, "Robustness", in_card=False),)
    return _robustness(review.robustness, evaluation), _attention(review)


def _robustness(robustness: Robustness, evaluation: Evaluation) -> s.Section:
    drawn = (
        f"drawn class by class with seed {robustness.seed}, so that classes are more even than among all "
        f"{evaluation.num_images}: compare these figures with each other, not with those above"
        if robustness.num_images < evaluation.num_images
        else "all of them"
    )
    told = (
        f"The exported model on {counted(robustness.num_images, 'test image')} of "
        f"{counted(robustness.num_groups, 'group')} ({drawn}), as they are and changed step by step. Unchanged: "
        f"accuracy {estimate_in_words(robustness.unchanged.accuracy)}, macro-F1 "
        f"{estimate_in_words(robustness.unchanged.macro_f1)}."
    )
    plots = tuple(
        s.Plot(
            partial(draw_robustness, curve, robustness),
            f"Accuracy and macro-F1 over {curve.change}, {curve.unit}; the table below holds the accuracies.",
        )
        for curve in robustness.curves
    )
    rows = tuple(
        (
            s.Cell(curve.change, curve.unit),
            "; ".join(f"{setting(point.level)}: {estimate_in_words(point.accuracy)}" for point in curve.points),
        )
        for curve in robustness.curves
    )
    band = f"Band: {confidence(evaluation)} interval of accuracy over groups. Dotted line: the unchanged picture."
    blocks = (
        s.Paragraph(told),
        s.Plots(plots, small=True),
        s.Detail((s.Paragraph(band, is_note=True),)),
        s.Table(("Change", "Accuracy by level"), rows, is_text=True),
    )
    return s.Section("robustness", "Robustness to changes of the picture", blocks, "Robustness")


def _attention(review: ModelReview) -> s.Section:
    attention, agreement = review.attention, review.attention.mask_agreement
    how = (
        f"A square of {attention.patch_px} pixels of the model's input is covered, every {attention.stride_px} pixels; "
        "what lowers the log-odds of the answer counts as what the answer depends on."
    )
    shown = "Left the input, right what the answer depends on: the brighter, the more; a mask is outlined."
    found = (
        f"Over {counted(agreement.num_images, 'correctly recognised test image')} with a mask, "
        f"{estimate_in_words(agreement.share_in_mask)} of what the answer depends on lies inside the mask; by chance "
        f"it would be {estimate_in_words(agreement.chance)}. The ratio is {estimate_in_words(agreement.ratio)}."
        if agreement
        else attention.no_masks
    )
    pictures = tuple(
        s.Picture(
            (item.picture,),
            (
                ("is ", s.Strong(item.label)),
                ("called ", s.Strong(item.predicted), f", {figure(item.probability)}"),
                *(
                    (f"in the mask: {figure(item.share_in_mask)}, chance {figure(item.mask_share)}",)
                    if item.share_in_mask is not None
                    else ()
                ),
            ),
            (s.Provenance(item.path, "", item.sha256),),
        )
        for item in attention.maps
    )
    maps = s.Detail((s.Paragraph(shown, is_note=True), s.Gallery(pictures, source="review", is_wide=True)))
    # A card has no pictures, so that without masks there is nothing that it could say.
    return s.Section(
        "attention", "Where the model looks", (s.Paragraph(s.prose(how, found)), maps), in_card=agreement is not None
    )
