"""Tell by its shape whether a directory is a folder of classes, or was made for something else.

Trained as it is, a directory that is divided into training and test parts gives a classifier of which part a picture
lies in, and one of pictures and masks gives a classifier of which is which; neither says so. `read_folder` refuses
both, and what cannot be told apart from them, unless the user says that the folders at the top are the classes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dataset.checks import named
from dataset.manifest import ManifestError
from dataset.readable_name import for_shell, readable
from dataset.sources.folder_words import says_annotations, says_circumstance, says_pictures, says_verdict, split_role

_SAY_TOP = "CLASSES=top (make data DATA=... CLASSES=top)"
_MASK = re.compile(r"[-_ .](masks?|gt|ground_?truth|labels?|seg|segmentation|annotations?)$", re.IGNORECASE)
_OWN_SPLIT = "bento-vision splits by itself, by object, so that no object is on two sides"


@dataclass(slots=True)
class Folder:
    """One folder on the way to pictures: how many lie in it, and its folders that have pictures below them."""

    num_pictures: int = 0
    folders: dict[str, "Folder"] = field(default_factory=dict)


def shape_of(pictures: Iterable[str]) -> Folder:
    """Return the tree of folders of pictures. pictures: paths relative to the directory."""
    top = Folder()
    for path in pictures:
        folder = top
        for name in path.split("/")[:-1]:
            folder = folder.folders.setdefault(name, Folder())
        folder.num_pictures += 1
    return top


def check_shape(root: Path, top: Folder, folders: Iterable[str]) -> None:
    """Refuse a directory that is no folder of classes.

    top: of `shape_of`. folders: the names of all folders at the top, with pictures or without. Raises ManifestError
    that says what was seen and what to do.
    """
    _check_annotations(root, top, list(folders))
    _check_only_pictures(root, top.folders)
    _check_split(root, top.folders)
    _check_lone_part(root, top.folders)
    is_alone = len(top.folders) == 1
    for name, folder in top.folders.items():
        path, folder = _unwrapped(name, folder)
        parts = {part: folder.folders[part] for part in split_folders(folder.folders)}
        if is_alone or not all(map(says_circumstance, _shared(parts))):
            _check_split(root / path, folder.folders)
    _check_wrapper(root, top.folders)
    _check_product(root, top.folders)


def check_mask_files(root: Path, pictures: Iterable[str]) -> None:
    """Refuse a directory in which pictures lie beside their masks by name: `a.jpg` and `a_mask.png`.

    Raises ManifestError if that is so for at least two pictures and a tenth of all.
    """
    stems = [path.rsplit(".", 1)[0] for path in pictures]
    known = set(stems)
    masks = [path for path in stems if (match := _MASK.search(path)) and path[: match.start()] in known]
    if len(masks) >= 2 and 10 * len(masks) >= len(stems):
        raise ManifestError(
            f"{len(masks)} file(s) in {readable(str(root))} are masks by name, beside the pictures they belong to: "
            f"{named([readable(path) for path in masks])}. They would be trained as pictures: move pictures to "
            "DATA/images/<class> and masks, each called as its picture is, to DATA/masks/<class>, or masks away; if "
            f"they are pictures, say so with {_SAY_TOP}"
        )


def _check_annotations(root: Path, top: Folder, names: list[str]) -> None:
    """Refuse pictures with masks, boxes or labels in folders beside them, at the top or in each folder at the top."""
    _refuse_annotations(root, "", [name for name in names if says_pictures(name)], names)
    for name, folder in top.folders.items():
        pictures = [inside for inside in folder.folders if says_pictures(inside)]
        own = ["."] if folder.num_pictures else []
        _refuse_annotations(root, f"{name}/", pictures or own, list(folder.folders))


def _refuse_annotations(root: Path, place: str, pictures: list[str], names: list[str]) -> None:
    annotations = [name for name in names if says_annotations(name)]
    if pictures and annotations:
        seen = " and ".join(readable(place + name) for name in (pictures[0], annotations[0]))
        raise ManifestError(
            f"{readable(str(root))} holds pictures beside folders of masks, boxes or labels ({seen}), as data for "
            "segmentation or detection do. Here the class of a picture is the folder it lies in: "
            "DATA/<class>/<picture>. Masks are read from DATA/masks/<class>/<picture>.png beside "
            "DATA/images/<class>/<picture>.jpg, boxes from DATA/labels/<picture>.txt (YOLO) or DATA/Annotations (VOC). "
            "Sort the pictures so, or into one folder a class without the annotations; if the folders at the top are "
            f"classes as they are, say so with {_SAY_TOP}"
        )


def _check_only_pictures(root: Path, tops: Mapping[str, Folder]) -> None:
    """Refuse folders that are all called pictures, as the parts of an archive are: `images_001`, `images_002`."""
    if len(tops) > 1 and all(map(says_pictures, tops)):
        raise ManifestError(
            f"the folders of {readable(str(root))} are called {named([readable(name) for name in tops])}, which names "
            "no class. Sort the pictures into one folder a class, called as the class is; if these folders are "
            f"classes as they are, say so with {_SAY_TOP}"
        )


def split_folders(folders: Mapping[str, Folder]) -> list[str]:
    """Return the folders that are named as parts of one split; none where fewer than two belong together."""
    roles = {name: role for name in folders if (role := split_role(name))}
    for rest in sorted({rest for _, rest in roles.values()}):
        members = [name for name, role in roles.items() if role[1] == rest]
        kinds = {roles[name][0] for name in members}
        if len(members) > 1 and (len(kinds) > 1 or kinds == {"fold"}):
            return members
    return []


def _check_split(root: Path, folders: Mapping[str, Folder]) -> None:
    """Refuse folders that are named as parts of a split."""
    splits = split_folders(folders)
    if not splits:
        return
    inner = [_unwrapped(name, folders[name]) for name in splits]
    shared = [name for name in _shared(dict(inner)) if not says_pictures(name)]
    parts = named([readable(name) for name in splits])
    if not shared or any(map(split_role, shared)):
        of_classes = [path for path, part in inner if sum(not says_pictures(name) for name in part.folders) > 1]
        way_out = "Sort the pictures into one folder a class"
        if not shared and len(of_classes) == 1:
            way_out = f"Take the part that holds class folders: DATA={for_shell(str(root / of_classes[0]))}"
        raise ManifestError(
            f"{readable(str(root))} is divided into {parts}, but the pictures in them lie in no class folders of equal "
            f"names, so that a model of it would tell the parts apart; {_OWN_SPLIT}. {way_out}; if the folders at the "
            f"top are classes as they are, say so with {_SAY_TOP}"
        )
    links = _merging(root, [path for path, part in inner if part.folders])
    way_out = f"{both_commands(root)}; of some of the parts alone, {links}"
    raise ManifestError(
        f"{readable(str(root))} is divided into {parts}, which hold the same folders "
        f"({named([readable(name) for name in shared])}): a model of it would tell the parts apart, not the classes; "
        f"{_OWN_SPLIT}. The ways out: {way_out}; if the folders at the top are classes as they are, say so with "
        f"{_SAY_TOP}"
    )


def both_commands(root: Path, more: str = "") -> str:
    """Say what keeps the sides of divided pictures, and what divides them here. more: further words of both."""
    data = f"make data DATA={for_shell(str(root))}{more}"
    return (
        f"{data} SPLIT=given keeps the sides and says how far they leak, {data} SPLIT=ours takes all together and "
        "divides them by object"
    )


def _check_lone_part(root: Path, folders: Mapping[str, Folder]) -> None:
    """Refuse one folder named as a part of a split that holds folders, beside others: is it a class, or are they?"""
    for name, folder in folders.items():
        role = split_role(name)
        inside = [below for below in folder.folders if not says_circumstance(below)]
        if len(folders) > 1 and role and not role[1] and not folder.num_pictures and len(inside) > 1:
            raise ManifestError(
                f"{readable(name)} in {readable(str(root))} is named as a part of a split and holds the folders "
                f"{named([readable(below) for below in inside])}, so that it cannot be told which are the classes. If "
                f"the folders at the top are, say so with {_SAY_TOP}. If those in {readable(name)} are: take "
                f"DATA={for_shell(str(root / name))}"
            )


def _unwrapped(path: str, folder: Folder) -> tuple[str, Folder]:
    """Go down where a folder holds one folder alone, which holds further ones: `seg_train/seg_train/<class>`."""
    while not folder.num_pictures and len(folder.folders) == 1:
        name, below = next(iter(folder.folders.items()))
        if not below.folders:
            break
        path, folder = f"{path}/{name}", below
    return path, folder


def _merging(root: Path, parents: list[str]) -> str:
    """Say how to make a folder of classes out of parts that hold the same folders, by links, without copying."""
    names = [Path(path).name for path in parents]
    if len(set(names)) < len(names):
        return "put the folders of equal names together, one folder a class"
    # -n: a link that is there already is an error, and nothing is written into the folder it leads to
    places = " ".join(f"{for_shell(str((root / path).resolve()))}/*/" for path in parents)
    return (
        f'put the folders of equal names together, by links: for d in {places}; do c="merged/$(basename "$d")"; '
        'mkdir -p "$c" && ln -sn "$d" "$c/$(basename "$(dirname "$d")")"; done; then take DATA=merged CLASSES=top'
    )


def _check_wrapper(root: Path, tops: Mapping[str, Folder]) -> None:
    if len(tops) != 1:
        return
    name, folder = next(iter(tops.items()))
    path, folder = _unwrapped(name, folder)
    if len(folder.folders) > 1 and not folder.num_pictures and not all(map(says_circumstance, folder.folders)):
        inside = for_shell(str(root / path))
        raise ManifestError(
            f"all pictures of {readable(str(root))} lie in one folder, {readable(path)}, so that there is one class; "
            f"the classes seem to be the folders in there ({named([readable(name) for name in folder.folders])}): "
            f"take DATA={inside}"
        )


def _check_product(root: Path, tops: Mapping[str, Folder]) -> None:
    """Refuse folders that hold folders of nearly equal names, where the names do not say which of them are classes."""
    paths = {name: _unwrapped(name, folder) for name, folder in tops.items()}
    outer = {name: folder for name, (_, folder) in paths.items() if not folder.num_pictures}
    shared = _shared(outer)
    inner_is_class, outer_is_class = any(map(says_verdict, shared)), any(map(says_verdict, outer))
    least = 1 if inner_is_class and not outer_is_class else 2
    alike = [name for name, folder in outer.items() if _num_shared(folder, set(shared)) >= least]
    if len(alike) < 2 or 2 * len(alike) < len(tops) or (outer_is_class and not inner_is_class):
        return
    if all(map(says_circumstance, shared)) and not all(map(says_circumstance, alike)):
        return
    places, classes = named([readable(name) for name in alike]), named([readable(name) for name in shared])
    raise ManifestError(
        f"the folders {places} of {readable(str(root))} hold folders of the same names ({classes}), so that it cannot "
        f"be told which of them are the classes. If {places} are, say so with {_SAY_TOP}. If {classes} are: "
        f"{_merging(root, [paths[name][0] for name in alike])}"
    )


def _shared(folders: Mapping[str, Folder]) -> list[str]:
    """Return the names of folders that lie in at least two of `folders`, sorted."""
    counts = Counter(name for folder in folders.values() for name in folder.folders)
    return sorted(name for name, count in counts.items() if count > 1)


def _num_shared(folder: Folder, shared: set[str]) -> int:
    """Count the folders of shared names in `folder`; 0 if they are fewer than half of its folders."""
    number = len(set(folder.folders) & shared)
    return number if 2 * number >= len(folder.folders) else 0
