"""Which labels and pictures a person should look at again: likely label errors, near-duplicates, outliers."""

from evaluation.document import Count, Document, Share

NEAR_DUPLICATES_FILE = "near_duplicates.csv"


class LabelIssue(Document):
    """A picture whose label is likely wrong; `quality` is the model's probability of the label it has."""

    path: str
    sha256: str
    split: str
    group: str
    label: str
    suggested_label: str
    quality: Share


class NearDuplicate(Document):
    """Two pictures in different splits whose fine structure correlates; `same_label` is false for a contradiction."""

    path: str
    other_path: str
    split: str
    other_split: str
    label: str
    other_label: str
    correlation: float
    same_label: bool


class Outlier(Document):
    """A picture unlike the others: `statistic` is `deviation` robust standard deviations from the median."""

    path: str
    sha256: str
    split: str
    label: str
    statistic: str
    value: float
    median: float
    deviation: float


class LabelReview(Document):
    """What to look at again, each list ranked with the most striking first and cut at `max_listed`.

    Label errors are looked for among the `num_checked` validation and test pictures, which training never saw;
    near-duplicates and outliers among all pictures of the manifest.
    """

    num_checked: Count
    num_label_issues: Count
    label_issues: tuple[LabelIssue, ...]
    near_duplicate_correlation: float
    num_near_duplicates: Count
    near_duplicates: tuple[NearDuplicate, ...]
    outlier_deviation: float
    num_outliers: Count
    outliers: tuple[Outlier, ...]
    max_listed: Count
