"""What happens to the figures when pictures get worse: noise, blur, JPEG, brightness, rotation, rescaling, exposure."""

from evaluation.document import Count, Document, Estimate


class RobustnessPoint(Document):
    """Figures at one level of a change; what `level` measures is said by its curve."""

    level: float
    accuracy: Estimate
    macro_f1: Estimate


class RobustnessCurve(Document):
    """One kind of change at rising levels; `unit` says what a level is, `unchanged_level` which one changes nothing."""

    change: str
    unit: str
    unchanged_level: float
    points: tuple[RobustnessPoint, ...]


class Robustness(Document):
    """Figures on `num_images` test images of `num_groups` groups, drawn with `seed`, under graded changes.

    The changes are applied to the decoded picture before it is brought to the model's size. `unchanged` are the
    figures of the same images as they are.
    """

    num_images: Count
    num_groups: Count
    seed: Count
    unchanged: RobustnessPoint
    curves: tuple[RobustnessCurve, ...]
