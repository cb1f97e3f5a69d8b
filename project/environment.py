"""Freeze the packages that a result depends on, so that DVC reruns the chain when they change.

    python -m project.environment --requirements requirements/train.txt --out artifacts/environment.txt

What is installed is written, not what was asked for; a difference between the two is warned about.
"""

import argparse
import platform
import sys
from pathlib import Path

from project.command import command
from project.packages import RequirementsError, installed_version, read_pins
from project.write_whole import write_whole


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requirements", type=Path, default=Path("requirements/train.txt"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/environment.txt"))


@command(_arguments, known=(RequirementsError,), speaker="error")
def main(args: argparse.Namespace) -> None:
    pins = read_pins(args.requirements)
    installed = {name: installed_version(name) for name in pins}
    for name, version in installed.items():
        if version != pins[name]:
            sys.stderr.write(f"warning: {name} is {version}, but {args.requirements} pins {pins[name]}\n")
    lines = sorted(f"{name}=={version}" for name, version in installed.items())
    write_whole(args.out, "\n".join([f"python=={platform.python_version()}", *lines]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
