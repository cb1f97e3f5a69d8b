"""Tell which files of a folder are pictures: by their ending where it says so, by their first bytes where it does not.

A picture of a format that cannot be read is a picture all the same: decoding refuses it by name, and it is not left
out as if it were none.
"""

import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from dataset.outputs.litter import is_apple_double, may_be_apple_double
from dataset.sources.file_tree import is_image
from runtime.formats.sniff import HEAD_BYTES, sniff

# Endings of files that nobody takes for pictures; all others are opened.
_NO_PICTURE = frozenset({
    ".7z", ".aae", ".avi", ".bat", ".bz2", ".cfg", ".csv", ".db", ".doc", ".docx", ".exe", ".gz", ".h5", ".hdf5",
    ".htm", ".html", ".ini", ".ipynb", ".json", ".jsonl", ".lnk", ".lock", ".log", ".mat", ".md", ".md5", ".mkv",
    ".mov", ".mp3", ".mp4", ".npy", ".npz", ".odg", ".ods", ".odt", ".onnx", ".parquet", ".pbtxt", ".pdf",
    ".pickle", ".pkl", ".ppt", ".pptx", ".pt", ".pth", ".py", ".rar", ".rst", ".sh", ".sha256", ".sqlite",
    ".sqlite3", ".tar", ".tgz", ".thm", ".toml", ".tsv", ".txt", ".url", ".wav", ".webm", ".xls", ".xlsx", ".xml",
    ".xmp", ".xz", ".yaml", ".yml", ".zip",
})  # fmt: skip
# Endings of pictures in formats that are not read: also where the first bytes say nothing (Targa, an empty file), they
# are refused by name and not left out as if they were none.
_OTHER_IMAGES = frozenset({
    ".apng", ".arw", ".cr2", ".cr3", ".dcm", ".dng", ".exr", ".gif", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jp2",
    ".jpf", ".jpx", ".jxl", ".mpo", ".nef", ".nrw", ".orf", ".pbm", ".pcx", ".pef", ".pgm", ".pnm", ".ppm", ".psd",
    ".raf", ".rw2", ".sr2", ".srw", ".tga",
})  # fmt: skip
_NO_IMAGE_FORMATS = frozenset(
    {"", "PDF", "ZIP archive", "gzip archive", "Matroska video", "AVI video", "MP4 video", "NumPy array"}
)
_SUFFIX = re.compile(r"\.[a-z0-9]{1,10}")
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})  # bytes; two letters alone also begin words
_READERS = 16  # heads read at once: on a network disk each waits for the network


@dataclass(slots=True)
class FileKinds:
    """The files of a folder by what they are; paths as given.

    pictures: those meant to be pictures, readable or not. others: all else by kind (`txt`, `ZIP archive`). closed:
    files whose ending says nothing and that cannot be opened, with the reason. apple_double: what macOS wrote beside
    others.
    """

    pictures: list[str] = field(default_factory=list)
    others: dict[str, list[str]] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    apple_double: list[str] = field(default_factory=list)


def tell_kinds(root: Path, paths: Iterable[str]) -> FileKinds:
    """Sort files below `root` into pictures and others. paths: relative to it; order is kept."""
    kinds = FileKinds()
    paths = list(paths)
    unknown = [path for path in paths if _needs_a_look(path)]
    with ThreadPoolExecutor(_READERS) as pool:
        heads = dict(zip(unknown, pool.map(lambda path: _head(root / path), unknown), strict=True))
    for path in paths:
        head = heads.get(path)
        if isinstance(head, OSError):
            kinds.closed[path] = head.strerror or str(head)
        elif head is not None and may_be_apple_double(_name(path)) and is_apple_double(head):
            kinds.apple_double.append(path)
        elif _says_picture(path) or (head is not None and image_format_of(head)):
            kinds.pictures.append(path)
        else:
            kinds.others.setdefault(_kind(path, head), []).append(path)
    return kinds


def image_format_of(head: bytes) -> str:
    """Return the format of the image that starts with `head` (`HEAD_BYTES` bytes), '' if it is no image."""
    name = sniff(head)
    if name in _NO_IMAGE_FORMATS:
        return ""
    if name == "BMP" and int.from_bytes(head[14:18], "little") not in _BMP_HEADERS:
        return ""
    return name


def _needs_a_look(path: str) -> bool:
    if may_be_apple_double(_name(path)):
        return True
    return not _says_picture(path) and Path(path).suffix.lower() not in _NO_PICTURE


def _says_picture(path: str) -> bool:
    return is_image(Path(path)) or Path(path).suffix.lower() in _OTHER_IMAGES


def _head(path: Path) -> bytes | OSError:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(HEAD_BYTES)
    except OSError as exc:
        return exc


def _name(path: str) -> str:
    return os.path.basename(path)  # noqa: PTH119, a string of a million


def _kind(path: str, head: bytes | None) -> str:
    """Name a file that is no picture, for people."""
    if head == b"":
        return "empty"
    suffix = Path(path).suffix.lower()
    known = sniff(head) if head else ""
    return (known if known in _NO_IMAGE_FORMATS else "") or (
        suffix[1:] if _SUFFIX.fullmatch(suffix) else "without an ending"
    )
