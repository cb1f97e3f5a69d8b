"""Say in one sentence why a file cannot be written, by the reason and the disk; no picture is at fault."""

import errno
import os
from pathlib import Path

# What this process or this machine has run out of, whatever the file.
OUT_OF_HANDLES = {
    errno.EMFILE: "this process may not open more files: raise the limit (ulimit -n 4096)",
    errno.ENFILE: "this machine has no file handles left: close programs, or raise fs.file-max",
}
# What a machine does to a program that is not at fault.
OF_THE_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def write_problem(problem: OSError, path: Path) -> str:
    """Return the sentence for an error in writing `path`, with what to do."""
    advice = OUT_OF_HANDLES.get(problem.errno or 0, "look at that disk and its rights")
    if problem.errno in _FULL:
        advice = f"{_free(path)} is free there. Free some, or let `data` be a link to a larger disk"
    return (
        f"cannot write {path}: {problem.strerror or problem}; {advice}. Your pictures are not at fault, and what was "
        "there is kept; then the same command goes on"
    )


def _free(path: Path) -> str:
    for folder in path.absolute().parents:
        try:
            disk = os.statvfs(folder)
        except OSError:
            continue
        return f"{disk.f_bavail * disk.f_frsize / 1e6:.1f} MB"
    return "an unknown amount"
