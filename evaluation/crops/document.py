"""What a classifier of crops says of what a detector finds: `behind.json` of `evaluation.crops.behind_detector`.

A true object is found if a box that the detector answers overlaps it by an intersection over union of 0.5 or more,
whatever the detector calls it; each box finds one object at most. Ignored objects do not count.
"""

from pathlib import Path
from typing import Literal, Self

from evaluation.document import Count, Document, Estimate, EvaluationError, Share, read_document

BEHIND_FILE = "behind.json"


class NamedObjects(Document):
    """Objects of one name, or all of them if `name` is empty.

    Of `num_objects` of `num_groups` groups `num_found` are found, and the classifier calls `num_right` of these what
    they are. `right_of_found` and `right_of_all` are its shares; `detector_right_of_found` is that of the detector's
    own names, null where it tells no objects apart.
    """

    name: str
    num_objects: Count
    num_groups: Count
    num_found: Count
    num_right: Count
    right_of_found: Estimate
    right_of_all: Estimate
    detector_right_of_found: Estimate | None


class BehindDetector(Document):
    """The classifier with `onnx_sha256` behind the detector of a contract with `detector_sha256`, on test pictures.

    `num_too_small` of the boxes that find an object give crops that are not classified: these count as not right.
    `results` begin with all objects, then each name.
    """

    schema_version: Literal[1] = 1
    onnx_sha256: str
    detector_sha256: str
    data_sha256: str
    threshold: Share
    num_images: Count
    num_groups: Count
    num_too_small: Count
    results: tuple[NamedObjects, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a document. Raises EvaluationError if it is missing or malformed."""
        module = "evaluation.crops.behind_detector"
        return read_document(cls, path, "measurement behind the detector", module, EvaluationError)

    @property
    def any_object(self) -> NamedObjects:
        """Return the figures of all objects."""
        return self.results[0]
