"""How far a long loop is: a bar on a terminal; in a log, where a bar is thousands of lines, a line every half minute.

The one place that decides it. `TQDM_DISABLE=1` in the environment turns both off.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINE_EVERY_S = 30.0


def progress(
    items: Iterable[T], what: str, total: int | None = None, unit: str = "it", *, leave: bool = True,
    is_shown: bool = True, line_every_s: float = LINE_EVERY_S,
) -> Iterator[T]:  # fmt: skip
    """Yield the items, and say on stderr how many of them are done.

    total: of items that have no length. leave: a full bar stays. is_shown: False in all processes but one.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if not is_shown or os.environ.get("TQDM_DISABLE"):
        yield from items
    elif sys.stderr.isatty():
        yield from tqdm(items, what, total, leave, unit=unit)
    else:
        yield from _with_lines(items, what, total, unit, line_every_s)


def _with_lines(items: Iterable[T], what: str, total: int | None, unit: str, every_s: float) -> Iterator[T]:
    start = last = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            # `total or 0`: tqdm's type stubs know no None
            line = tqdm.format_meter(number, total or 0, now - start, ncols=0, prefix=what, unit=unit)
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
