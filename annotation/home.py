"""Where labelling is kept: `labels/`, with Label Studio's own data, the pictures that it shows and what was pulled.

access.json    who may log in, readable by its owner alone
pictures/      copies of the pictures, each under its hash: a folder that is moved or changed spoils no task
server/        Label Studio's database and keys
server.log     what it says
<task>/        what `make labels-pull` brought back
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from dataset.manifest import ManifestError

LABELS_DIR = Path("labels")
PICTURES = "pictures"
ACCESS = "access.json"
USER = "labels@localhost.local"


@dataclass(frozen=True, slots=True)
class Access:
    """How Label Studio is entered: by a person with the password, by programs with the token."""

    username: str
    password: str
    token: str


def read_access(home: Path) -> Access | None:
    """Return how the server of `home` is entered, None before its first start. Raises ManifestError if damaged."""
    path = home / ACCESS
    try:
        return Access(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as exc:
        raise ManifestError(
            f"{path} cannot be read ({exc}). It holds the password of the accounts in {home / 'server'}: bring it "
            "back, or move both away to begin anew"
        ) from exc


def make_access(home: Path) -> Access:
    """Make a password and a token and keep them, readable by the owner alone. Raises FileExistsError if there are any.

    Raises ManifestError if a database is there whose password went away.
    """
    if (database := home / "server" / "label_studio.sqlite3").exists():
        raise ManifestError(
            f"{home / ACCESS} is not there, which holds the password of the accounts in {database}: bring it back, or "
            f"move {home / 'server'} away to begin anew"
        )
    home.mkdir(parents=True, exist_ok=True)
    access = Access(USER, secrets.token_urlsafe(12), secrets.token_hex(20))
    descriptor = os.open(home / ACCESS, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(access), file, indent=2)
    return access
