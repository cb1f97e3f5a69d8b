"""Parts of the test images on which the model does worse than on the rest, with the chance of a lucky find bounded."""

from evaluation.document import Count, Document, Estimate, Figure, Share, WrongPrediction


class Condition(Document):
    """One attribute with one value or range, such as `brightness` and `120 to 160`.

    `origin` says where the attribute comes from: the manifest, the mask or the pixels.
    """

    attribute: str
    value: str
    origin: str


class WeakSlice(Document):
    """The test images that meet one condition, or two together.

    `difference` is the slice's accuracy minus `rest_accuracy`, that of all other test images. `p_value` is one-sided:
    the chance of so low a difference if the slice were like the rest, from a cluster-robust t statistic over groups.
    `adjusted_p_value` accounts for all slices tested; `is_weak` compares it with the table's `alpha`. `wrong` holds
    the most confident errors in the slice.
    """

    conditions: tuple[Condition, ...]
    num_images: Count
    num_groups: Count
    accuracy: Estimate
    macro_f1: Share
    rest_accuracy: Share
    difference: Figure
    p_value: Share
    adjusted_p_value: Share
    is_weak: bool
    wrong: tuple[WrongPrediction, ...]


class SliceSearch(Document):
    """Slices by every attribute and by every pair of attributes, the smallest p-value first.

    Of `num_tested` slices with at least `min_images` images of `min_groups` groups, `num_weak` are weaker than the
    rest (`adjusted_p_value` <= `alpha`); the first ones are listed, every weak one among them up to the list's bound.
    `num_too_small` were not tested. `attributes` names what was sliced by.
    """

    attributes: tuple[str, ...]
    min_images: Count
    min_groups: Count
    num_tested: Count
    num_too_small: Count
    num_weak: Count
    alpha: Share
    correction: str
    slices: tuple[WeakSlice, ...]
