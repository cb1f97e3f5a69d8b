"""What every source hands over: labelled pictures, and what is known of the set as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dataset.box_formats.source_boxes import StatedBoxes
from dataset.description import DataDescription
from dataset.masks.source_masks import SourceMasks


@dataclass(frozen=True, slots=True)
class SourcePicture:
    """One picture of a source.

    path: of the picture, relative to the data directory that holds the CSV, '/' separated. label: its class, '' where
    its mask says it.
    group: the physical object shown; '' if unknown. mask: path like `path`, or ''. attributes: further facts as text.
    split: train, val or test where the source gives it, or ''.
    """

    path: str
    label: str
    group: str
    mask: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    split: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """All pictures of one source.

    originals: the user's file for each `path` and `mask` of `pictures`; empty where a source draws its pictures into
    the data directory itself. has_stated_groups: groups are facts and are kept; otherwise near-duplicates are joined
    to them, because an object seen in two groups would stand on both sides of a split. masks: reads the masks of
    `pictures`; None where a source has none, or draws them as `dataset/annotations.py` says. boxes: by
    `path` of `pictures`, each; None where a source states none, so that they are those of its masks. mask_advice: what
    to do about masks and boxes that cannot be used.
    """

    pictures: list[SourcePicture]
    description: DataDescription
    has_stated_groups: bool
    originals: dict[str, Path] = field(default_factory=dict)
    masks: SourceMasks | None = None
    boxes: Mapping[str, StatedBoxes] | None = None
    mask_advice: str = "Repair or remove them"
