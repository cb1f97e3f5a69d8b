"""What Prometheus's client leaves to its users where the processes of a service keep their metrics in files."""

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any


def forget_dead_processes() -> None:
    """Take the gauges of processes that were killed out of the sum, such as the queue of a dead worker."""
    from prometheus_client import multiprocess

    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    for path in Path(folder).glob("gauge_live*_*.db") if folder else ():
        pid = path.stem.rpartition("_")[2]
        if not Path(f"/proc/{pid}").exists():
            with suppress(FileNotFoundError):  # another process that starts does the same
                multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def read_unfinished_files_as_empty() -> None:
    """Have `/metrics` answer while another process makes its files; must be called before it is first asked.

    A file has no size between its making and its first use, and Prometheus's client fails on it (seen with 0.26): a
    scrape while workers start would be a 500.
    """
    from prometheus_client.mmap_dict import MmapedDict

    read = MmapedDict.read_all_values_from_file
    if hasattr(read, "__wrapped__"):
        return

    @wraps(read)
    def read_what_is_there(filename: str) -> Iterable[Any]:
        try:
            return read(filename)  # type: ignore[no-any-return, no-untyped-call]
        except struct.error:
            return read(filename) if Path(filename).stat().st_size else ()  # type: ignore[no-untyped-call]

    MmapedDict.read_all_values_from_file = staticmethod(read_what_is_there)  # type: ignore[method-assign]
