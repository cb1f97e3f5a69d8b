"""Which packages are installed, and which a requirements file pins."""

from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

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
