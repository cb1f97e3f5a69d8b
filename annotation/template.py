"""What people may say of a picture, as Label Studio's template: classes, boxes or brushes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import bentoml
import pandas as pd
from bentoml.exceptions import NotFound
from pydantic import Field

from dataset.description import find_description
from dataset.manifest import ManifestError
from dataset.outputs.pipeline import PICTURES_CSV
from project.params import Section
from runtime.label_studio.template import NOTHING
from runtime.model.contract import (
    CONTRACT_FILE,
    MODEL_NAMES,
    DetectionContract,
    ModelContract,
    SegmentationContract,
    Task,
    read_contract,
)

NOTHING_TO_MARK = "nothing to mark"
_TAGS: Mapping[Task, tuple[str, str, str]] = {
    "classification": ("Choices", "class", "Choice"),
    "segmentation": ("BrushLabels", "brush", "Label"),
    "detection": ("RectangleLabels", "box", "Label"),
}
_KEYS: Mapping[Task, str] = {"classification": "classes", "segmentation": "regions", "detection": "objects"}


class AnnotationParams(Section):
    """The section `annotation` of `params.yaml`: what people may say; empty: as the model, or the data, has it."""

    classes: tuple[str, ...] = Field(default=())
    regions: tuple[str, ...] = Field(default=())
    objects: tuple[str, ...] = Field(default=())


def names_for(task: Task, params: AnnotationParams, data_dir: Path) -> tuple[str, ...]:
    """Return what people may say: as `params.yaml` says, or else the newest model's names, or those of the data.

    Raises ManifestError if none of them says it, or if a name is there twice.
    """
    stated: tuple[str, ...] = getattr(params, _KEYS[task])
    names = stated or _names_of_model(task) or _names_of_data(task, data_dir)
    key = f"annotation.{_KEYS[task]}"
    if not names:
        raise ManifestError(
            f"nothing says what people may say of a picture: name it in params.yaml, such as {key}: [good, scratch]"
        )
    is_printable = all(name and name.strip() == name and name.isprintable() for name in names)
    if len(set(names)) < len(names) or NOTHING_TO_MARK in names or not is_printable:
        raise ManifestError(
            f"people cannot choose from {names}: state different names in params.yaml as {key}, and none that is empty "
            f"or {NOTHING_TO_MARK!r}"
        )
    return names


def write_template(task: Task, names: Sequence[str]) -> str:
    """Return the template's XML for one task and its names."""
    tag, control, value = _TAGS[task]
    options = "".join(f"<{value} value={quoteattr(name)}/>" for name in names)
    image = '<Image name="image" value="$image" zoom="true"/>'
    parts = [image, f'<{tag} name="{control}" toName="image">{options}</{tag}>']
    if task != "classification":
        choice = f"<Choice value={quoteattr(NOTHING_TO_MARK)}/>"
        parts.append(f'<Choices name="{NOTHING}" toName="image" choice="single">{choice}</Choices>')
    return f"<View>{''.join(parts)}</View>"


def newest_model(task: Task) -> bentoml.Model | None:
    """Return the newest model of a task, None if the store has none."""
    try:
        return bentoml.models.get(MODEL_NAMES[task])
    except (NotFound, FileNotFoundError):
        return None


def names_of(contract: ModelContract) -> tuple[str, ...]:
    """Return what a model names in pictures: its regions, its objects or else its classes."""
    if isinstance(contract, SegmentationContract):
        return contract.regions
    return contract.objects if isinstance(contract, DetectionContract) else contract.classes


def _names_of_model(task: Task) -> tuple[str, ...]:
    model = newest_model(task)
    return names_of(read_contract(Path(model.path_of(CONTRACT_FILE)))) if model else ()


def _names_of_data(task: Task, data_dir: Path) -> tuple[str, ...]:
    if task == "classification":
        pictures = data_dir / PICTURES_CSV
        if not pictures.is_file():
            return ()
        return tuple(sorted(set(pd.read_csv(pictures, dtype=str, keep_default_na=False)["label"].tolist())))
    description = find_description(data_dir)
    if description is None:
        return ()
    return description.regions if task == "segmentation" else description.objects
