"""Files and folders that systems leave beside a person's pictures: they belong to nobody's data.

The names are those that macOS, Windows, Linux desktops, network storage and version control give them.
"""

import re

_FOLDERS = frozenset({
    # network storage: thumbnails, bins and snapshots
    "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", ".@__thumb", ".snapshot", ".snapshots",
    ".zfs", ".sync", ".stfolder", ".stversions", ".dropbox.cache",
    # macOS
    "__macosx", ".trashes", ".spotlight-v100", ".fseventsd", ".temporaryitems", ".documentrevisions-v100",
    ".appledouble", ".appledb", ".appledesktop", "network trash folder", "temporary items",
    # Windows
    "$recycle.bin", "system volume information",
    # Linux
    "lost+found", ".trash", ".thumbnails", ".thumbs", ".thumb", ".cache", ".xvpics",
    # picture managers, version control, notebooks, tools
    ".picasaoriginals", ".git", ".hg", ".svn", ".dvc", ".ipynb_checkpoints", "__pycache__", ".pytest_cache",
    ".mypy_cache", ".ruff_cache", ".idea", ".vscode", ".venv",
})  # fmt: skip
_FILES = frozenset({
    ".ds_store", ".localized", ".apdisk", ".volumeicon.icns", "icon\r", "thumbs.db", "ehthumbs.db",
    "ehthumbs_vista.db", "desktop.ini", ".directory", ".hidden", ".nomedia", "picasa.ini", ".picasa.ini",
    ".gitkeep", ".keep", ".gitignore", ".gitattributes", ".dvcignore",
})  # fmt: skip
_FOLDER_PATTERN = re.compile(r"\.trash-\d+")
# A trash bin's and NFS's leftovers, locks of office programs, thumbnails of network storage.
_FILE_PATTERN = re.compile(
    r"\.nfs[0-9a-f]{8,}|\.fuse_hidden\w+|~\$.*|\.~lock\..*#|.*@syno(resource|eastream)|syno\w+_thumb.*"
)
_APPLE_DOUBLE = "._"
_APPLE_DOUBLE_HEADS = (b"\0\x05\x16\x07", b"\0\x05\x16\0")


def is_litter_folder(name: str) -> bool:
    """Tell whether a folder of this name is a system's and not a person's."""
    return name.lower() in _FOLDERS or _FOLDER_PATTERN.fullmatch(name.lower()) is not None


def is_litter_file(name: str) -> bool:
    """Tell whether a file of this name is a system's and not a person's."""
    return name.lower() in _FILES or _FILE_PATTERN.fullmatch(name.lower()) is not None


def may_be_apple_double(name: str) -> bool:
    """Tell whether macOS may have written the file beside another, as `._x.jpg` beside `x.jpg`."""
    return name.startswith(_APPLE_DOUBLE)


def is_apple_double(head: bytes) -> bool:
    """Tell by its first bytes whether macOS wrote the file for what a foreign disk cannot hold (RFC 1740)."""
    return head.startswith(_APPLE_DOUBLE_HEADS)
