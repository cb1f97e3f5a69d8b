"""See that models can be stored where BentoML keeps them: `python -m export.store`, before hours of training.

BentoML's home is `BENTOML_HOME`, or `bentoml` in the user's home. BentoML itself is not imported: it makes its folders,
and fails, when it is.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from project.command import command


class StoreError(OSError):
    """A BentoML home that cannot be written."""


def bentoml_home() -> Path:
    """Return where BentoML keeps models and Bentos, made or not."""
    return Path(os.path.expandvars(os.environ.get("BENTOML_HOME") or "~/bentoml")).expanduser()


def check_store(home: Path) -> None:
    """Write and remove a file in the home, which is made if it is not there. Raises StoreError if that fails."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as exc:
        raise StoreError(
            f"models cannot be stored in {home}: {exc.strerror}. Name a folder that can be written, and keep it named "
            "for serving: export BENTOML_HOME=/path/to/folder"
        ) from exc


@command(known=(StoreError, RuntimeError), speaker="error")  # RuntimeError: no home is known at all
def main(_: argparse.Namespace) -> None:
    check_store(bentoml_home())


if __name__ == "__main__":
    sys.exit(main())
