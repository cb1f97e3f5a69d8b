"""The lines with curl in README and docs, and a shell's part in them: to run one against a served model."""

import base64
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from tests.bento_project import ROOT

_PAGES = ("README.md", "docs/API.md", "docs/CONTAINERIZE.md")
needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None,
    reason="curl is not installed: whether the service answers the commands of README and docs stays unknown here",
)


def documented_commands(of: Literal["whole pictures", "parts", "objects", "jobs"]) -> list[str]:
    """Return the commands that ask about these. A test of none of them would pass, so there must be some."""
    lines = {line for page in _PAGES for line in re.findall(r"^ *(curl .+)$", (ROOT / page).read_text("utf-8"), re.M)}
    found = sorted(line for line in lines if _asks_about(line) == of)
    assert found, f"README and docs show no curl that asks about {of}"
    return found


def _asks_about(command: str) -> str:
    if "/jobs" in command:
        return "jobs"
    if "/detect" in command:
        return "objects"
    return "parts" if "tiles" in command else "whole pictures"


def run_curl(command: str, url: str, folder: Path, in_json: bytes = b"") -> bytes:
    """Run a command in a folder that has the files it names, and return what was answered, also into a file.

    url: of the server that takes the place of the one that is named. in_json: the picture that stands for `...`.
    """
    text = base64.b64encode(in_json).decode()
    words = shlex.split(re.sub(r"(localhost|127\.0\.0\.1):3000", url, command).replace('"..."', "@body"))
    if "--json" in words:  # as a file: an argument of a large picture is too long
        body = folder / "body.json"
        place = words.index("--json") + 1
        body.write_text(words[place].replace("@body", f'"{text}"'))
        words[place] = f"@{body}"
    assert sum(word.startswith(url) for word in words) == 1
    done = subprocess.run([*words, "-sS", "--fail", "--noproxy", "*"], cwd=folder, capture_output=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, b"")
    return (folder / words[words.index("-o") + 1]).read_bytes() if "-o" in words else done.stdout
