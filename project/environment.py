"""Freeze the packages that a result depends on, so that DVC reruns the chain when they change.

    python -m project.environment --requirements requirements/train.txt --out artifacts/environment.txt

What is installed is written, not what was asked for; a difference between the two is warned about.
"""

import argparse
import platform
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from project.command import command
from project.write_whole import write_whole

MISSING = "missing"


class RequirementsError(ValueError):
    """A requirements file that cannot be read."""


def read_pins(requirements: Path) -> dict[str, str]:
    """Return name -> version of every `name==version` line that applies to this machine.

    Raises RequirementsError if the file cannot be read, a line is malformed or nothing is pinned.
    """
    try:
        text = requirements.read_text(encoding="utf-8")
    except OSError as exc:
        raise RequirementsError(f"cannot read {requirements}: {exc.strerror}") from exc
    pins: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        pin = line.split(" #")[0].split(" --hash")[0].strip()
        if not pin or pin.startswith(("#", "-")):
            continue
        try:
            requirement = Requirement(pin)
        except InvalidRequirement as exc:
            raise RequirementsError(f"{requirements}: cannot read the line '{pin}': {exc}") from exc
        if requirement.marker is None or requirement.marker.evaluate():
            pins[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    if not pins:
        raise RequirementsError(f"{requirements} pins no package")
    return pins


def installed_version(name: str) -> str:
    """Return the installed version of a package, or 'missing'."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING


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
