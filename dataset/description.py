"""What is known of a data set beyond its pictures; the model card quotes it and adds nothing."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

DESCRIPTION_FILE = "description.json"


class DataDescription(BaseModel):
    """Facts that a source states of itself; empty where it states none.

    `group_meaning` says what a group is ("physical tile"). `compare_protocols` asks for the leaking split by image to
    be measured beside the headline, because published figures use it. `normal_class` names the class that is no defect.
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

    def write(self, data_dir: Path) -> None:
        (data_dir / DESCRIPTION_FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, data_dir: Path) -> "DataDescription":
        return cls.model_validate_json((data_dir / DESCRIPTION_FILE).read_text(encoding="utf-8"))
