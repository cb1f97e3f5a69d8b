"""What is known of a data set beyond its pictures; the model card quotes it and adds nothing."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dataset.manifest import ManifestError

DESCRIPTION_FILE = "description.json"


class DataDescription(BaseModel):
    """Facts that a source states of itself; empty where it states none.

    `group_meaning` says what a group is ("physical tile"). `compare_protocols` asks for the leaking split by image to
    be measured beside the headline, because published figures use it. `normal_class` names the class that is no defect:
    'defect or not' is measured only where it is stated, and nothing guesses it.
    `max_value` is white in the samples of deep pictures, if that is not what their files can hold: see
    `dataset/deep_pictures.py`. Whoever decodes pictures of the data set before there is a contract takes it from here.
    `regions` names what masks mark, sorted: a pixel of value `i + 1` is of `regions[i]` (`dataset/annotations.py`).
    `objects` names what boxes hold, sorted (`dataset/boxes.py`).
    `crop_margin` is stated where the pictures are crops of boxes: what was added of a box's sides on each of them.
    `likeness` says what likeness joined where groups were not stated, and where that is doubtful.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    summary: str
    collection: str = ""
    group_meaning: str
    normal_class: str = ""
    likeness: str = ""
    licence: str = ""
    citation: str = ""
    url: str = ""
    compare_protocols: bool = False
    max_value: int | None = None
    regions: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    crop_margin: float | None = None

    def write(self, data_dir: Path) -> None:
        text = self.model_dump_json(indent=2, exclude_none=True) + "\n"
        (data_dir / DESCRIPTION_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, data_dir: Path) -> "DataDescription":
        return cls.model_validate_json((data_dir / DESCRIPTION_FILE).read_text(encoding="utf-8"))


def read_max_value(data_dir: Path) -> int | None:
    """Return `max_value` of the data set in `data_dir`; None also where nothing describes it.

    Raises ManifestError if the description is malformed.
    """
    description = find_description(data_dir)
    return description.max_value if description else None


def read_description(data_dir: Path) -> DataDescription:
    """Read what is stated of the data set in `data_dir`. Raises ManifestError if that is missing or malformed."""
    found = find_description(data_dir)
    if found is None:
        raise ManifestError(f"there is no {data_dir / DESCRIPTION_FILE}; run python -m dataset.load")
    return found


def find_description(data_dir: Path) -> DataDescription | None:
    """Read what is stated of the data set in `data_dir`; None where nothing describes it.

    Raises ManifestError if the description is malformed.
    """
    try:
        return DataDescription.read(data_dir)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise ManifestError(f"cannot read {data_dir / DESCRIPTION_FILE}: {exc}; run python -m dataset.load") from exc
