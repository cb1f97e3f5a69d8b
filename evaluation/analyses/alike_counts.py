"""How many pairs of alike pictures there are, beside the table of those that are listed."""

from pathlib import Path

from evaluation.document import Count, Document, EvaluationError, Share, read_document

COUNTS_FILE = "near_duplicates.json"


class AlikeCounts(Document):
    """How many pairs of pictures of different groups correlate above `threshold`.

    `num_across_splits` of the `num_pairs` lie on two sides of the split by group. `num_listed` are in the table: of
    each picture at most `max_partners`, and besides them pictures that are the same under two labels, of one group or
    two. `is_searched` is false where there were too many pictures to compare.
    """

    threshold: Share
    num_pairs: Count
    num_across_splits: Count
    num_listed: Count
    max_partners: Count
    is_searched: bool = True


def read_counts(path: Path) -> AlikeCounts | None:
    """Read what `evaluation.inspect` counted; None where an earlier version wrote none. Raises EvaluationError."""
    if not path.is_file():
        return None
    return read_document(AlikeCounts, path, "count of near-duplicates", "python -m evaluation.inspect", EvaluationError)
