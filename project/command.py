"""What every command does alike: arguments, log lines, errors that a user can act upon, the exit status."""

import argparse
import logging
import math
import sys
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

EXPLAINED = 2  # the exit status after one line that says what is wrong; argparse ends with it too


class UsageError(Exception):
    """Arguments that do not go together: the command ends as it does for a single wrong one."""


class Main(Protocol):
    """A command: it takes the words after its name, those of this process if None, and returns its exit status."""

    def __call__(self, argv: Sequence[str] | None = None) -> int: ...


def command(
    add_arguments: Callable[[argparse.ArgumentParser], object] | None = None, *,
    known: tuple[type[Exception], ...] = (), speaker: str = "",
    logs_to: Literal["stderr", "stdout", "nothing"] = "stderr",
) -> Callable[[Callable[[argparse.Namespace], int | None]], Main]:  # fmt: skip
    """Make a module's `main(argv)` of a function that takes the parsed arguments and returns a status, None for 0.

    The module's docstring is the head of `--help`. known: errors that end the command with one line on stderr, begun
    by `speaker` (the module's own name if empty), and status 2; any other is a fault of ours, with its traceback.
    logs_to: where lines of INFO go; nothing: the function sets that up itself.
    """

    def decorate(body: Callable[[argparse.Namespace], int | None]) -> Main:
        module = sys.modules[body.__module__]  # its `__spec__` has the name, which `python -m` takes from the module

        def main(argv: Sequence[str] | None = None) -> int:
            name = module.__spec__.name if module.__spec__ else module.__name__
            parser = argparse.ArgumentParser(
                prog=f"python -m {name}", description=module.__doc__,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )  # fmt: skip
            if add_arguments:
                add_arguments(parser)
            arguments = parser.parse_args(argv)
            if logs_to != "nothing":
                logging.basicConfig(level=logging.INFO, format="%(message)s", stream=getattr(sys, logs_to))
            try:
                return body(arguments) or 0
            except UsageError as exc:
                parser.error(str(exc))
            except known as exc:
                sys.stderr.write(f"{speaker or name.rpartition('.')[2]}: {exc}\n")
                return EXPLAINED

        return main

    return decorate


def at_least(lowest: int) -> Callable[[str], int]:
    """Return a type of argparse: a whole number of at least `lowest`."""

    def whole_number(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {lowest}, got {text!r}")
        return int(text)

    return whole_number


def positive(text: str) -> float:
    """Read a finite number above 0, as a type of argparse."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return number
