"""Where the model looks: how much covering a part of the picture lowers the probability of the answer."""

from evaluation.document import Count, Document, Estimate, Figure, Share


class OcclusionMap(Document):
    """One picture and what its answer hangs on; `picture` is the overlay's file beside the document.

    `share_in_mask` is the part of the attribution that lies inside the defect's mask, `mask_share` the mask's part of
    the picture, which is what attribution without aim would reach; both null without a mask.
    """

    path: str
    sha256: str
    label: str
    predicted: str
    probability: Share
    is_error: bool
    picture: str
    share_in_mask: Share | None
    mask_share: Share | None


class MaskAgreement(Document):
    """Attribution inside masks over `num_images` correctly recognised test pictures that have one.

    `share_in_mask` and `chance` are means over pictures; `ratio` is the first over the second, 1 for no aim at all.
    """

    num_images: Count
    num_groups: Count
    share_in_mask: Estimate
    chance: Estimate
    ratio: Figure


class Attention(Document):
    """Occlusion maps of the worst errors of each class, and how far attribution agrees with masks where there are any.

    A square of `patch_px` of the model's input is replaced by the picture's mean colour, every `stride_px`.
    """

    patch_px: Count
    stride_px: Count
    maps: tuple[OcclusionMap, ...]
    mask_agreement: MaskAgreement | None
    no_masks: str = ""
