"""Ctrl-C ends a command with one line and status 130, also in the seconds in which it still imports what it needs."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

INTERRUPTED = 130  # 128 + SIGINT, as shells count


def end_in_one_line(package: str) -> None:
    """Have Ctrl-C end this process in one line if it is `python -m <package>.<module>`; else change nothing.

    Called where the package is imported, before any of its modules: importing PyTorch takes seconds. What is open is
    closed as ever; only the traceback is left out.
    """
    if running_command().startswith(f"{package}."):
        sys.excepthook = _say


def running_command() -> str:
    """Return the module that this process was told to run, '' if it was told otherwise."""
    words = sys.orig_argv[1:]
    options = next((i for i, word in enumerate(words) if not word.startswith("-") or word == "-m"), len(words))
    return words[options + 1] if words[options : options + 1] == ["-m"] and len(words) > options + 1 else ""


def _say(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, exc, trace)
        return
    sys.stderr.write(f"\n{said_of(running_command())}\n")
    raise SystemExit(INTERRUPTED)  # Python takes it from here as it does from a module


def said_of(command: str) -> str:
    """Return the line that Ctrl-C ends a command with."""
    return f"{command}: stopped; the same command goes on from what is saved, or begins again"


@contextmanager
def remembered() -> Iterator[Callable[[], None]]:
    """Keep a Ctrl-C that Python drops: what a finaliser or a callback raises is printed and forgotten.

    Yields a function that raises KeyboardInterrupt if Ctrl-C was pressed since, for whoever waits in a loop; leaving
    the context does so too. Of the main thread alone; where Ctrl-C is ignored it stays so.
    """
    was_pressed = False
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal was_pressed
        was_pressed = True
        if callable(before):
            before(number, frame)

    def check() -> None:
        if was_pressed:
            raise KeyboardInterrupt

    if callable(before):
        signal.signal(signal.SIGINT, note)
    try:
        yield check
        check()
    finally:
        signal.signal(signal.SIGINT, before)
