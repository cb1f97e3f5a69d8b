"""Fetch the public archive of the magnetic-tile photographs once."""

import logging
import shutil
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from tqdm import tqdm

from dataset.manifest import ManifestError
from dataset.sources.magnetic_tile import DESCRIPTION, holds_magnetic_tiles
from project.progress import progress
from project.write_whole import whole_file

ARCHIVE_URL = f"{DESCRIPTION.url}/archive/refs/heads/master.zip"
_TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 20

logger = logging.getLogger(__name__)


def download_magnetic_tile(downloads_dir: Path, url: str = ARCHIVE_URL) -> Path:
    """Return the folder of photographs below `downloads_dir`, fetched and unpacked if it is not there yet.

    Both steps write beside their goal and rename at the end, so a run that was cut short leaves nothing half done.
    Raises ManifestError without network or if the archive is not what is expected.
    """
    goal = downloads_dir / DESCRIPTION.name
    if not goal.is_dir():
        downloads_dir.mkdir(parents=True, exist_ok=True)
        archive = downloads_dir / f"{DESCRIPTION.name}.zip"
        if not archive.is_file():
            _fetch(url, archive)
        _unpack(archive, goal)
    return _photographs(goal)


def _fetch(url: str, archive: Path) -> None:
    logger.info("downloading %s", url)
    try:
        with (
            whole_file(archive) as partial,
            urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer,  # noqa: S310 (ours)
            partial.open("wb") as file,
        ):
            expected = int(answer.headers.get("Content-Length") or 0)
            with tqdm(total=expected or None, desc="downloading", unit="B", unit_scale=True, disable=None) as progress:
                while chunk := answer.read(_CHUNK_BYTES):
                    file.write(chunk)
                    progress.update(len(chunk))
            if expected and file.tell() != expected:
                raise OSError(f"got {file.tell()} of {expected} bytes")
    except (OSError, urllib.error.URLError) as exc:
        raise ManifestError(
            f"cannot download {url}: {exc}. Without network, fetch the archive elsewhere, unpack it and run "
            "make data DATA=PATH, where PATH holds MT_Blowhole, MT_Free and the others"
        ) from exc


def _unpack(archive: Path, goal: Path) -> None:
    staging = goal.with_name(goal.name + ".unpacking")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in progress(packed.infolist(), "unpacking", unit="file"):
                packed.extract(member, staging)
    except (zipfile.BadZipFile, OSError) as exc:
        shutil.rmtree(staging, ignore_errors=True)
        archive.unlink(missing_ok=True)
        raise ManifestError(f"{archive} is not a complete zip archive ({exc}); it was removed, run it again") from exc
    staging.rename(goal)


def _photographs(goal: Path) -> Path:
    for folder in [goal, *sorted(path for path in goal.iterdir() if path.is_dir())]:
        if holds_magnetic_tiles(folder):
            return folder
    raise ManifestError(f"{goal} holds no MT_<Class>/Imgs folder; remove it and run again, or give DATA=PATH")
