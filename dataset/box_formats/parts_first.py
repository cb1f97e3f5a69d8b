"""Read `train/images` and `train/labels` as `images/train` and `labels/train`: exports of YOLO have both orders."""

from collections.abc import Mapping
from dataclasses import replace

from dataset.sources.file_kinds import FileKinds
from dataset.sources.folder_words import split_role


def parts_within(kinds: FileKinds, pictures: str, boxes: str) -> tuple[FileKinds, Mapping[str, str]]:
    """Return the files with parts of a split below the folders of pictures and boxes, and the real path of each moved.

    kinds: of all files of a folder. pictures, boxes: the names of these folders. Nothing is moved where a folder of
    pictures lies at the top.
    """
    if any(path.startswith(f"{pictures}/") for path in kinds.pictures):
        return kinds, {}
    real: dict[str, str] = {}

    def moved(path: str) -> str:
        part, _, rest = path.partition("/")
        kind, _, name = rest.partition("/")
        if not name or kind not in (pictures, boxes) or split_role(part) is None:
            return path
        real[f"{kind}/{part}/{name}"] = path
        return f"{kind}/{part}/{name}"

    swapped = replace(
        kinds, pictures=[moved(path) for path in kinds.pictures],
        others={kind: [moved(path) for path in paths] for kind, paths in kinds.others.items()},
        closed={moved(path): reason for path, reason in kinds.closed.items()},
    )  # fmt: skip
    return swapped, real
