"""Put what loading made in the place of what an earlier run made, whole, and let one run at a time write there."""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dataset.manifest import ManifestError
from dataset.outputs.written import NOTES_DIR, Written, files_of, hashes_of


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Hold the directory, made if it is not there; the kernel lets it go with this process.

    Raises ManifestError if another run holds it.
    """
    lock = data_dir / NOTES_DIR / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)  # NFS locks only what may be written
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ManifestError(
                f"another run is loading or dividing the pictures in {data_dir}: wait for it to end"
            ) from exc
        yield
    finally:
        os.close(descriptor)


def replace_outputs(outputs: Sequence[Path], staging: Path, known: Mapping[str, str]) -> None:
    """Put `staging`'s files and folders of the outputs' names in their place, and note them as a run's.

    staging: on the same disk; what was replaced ends in its `replaced`. known: path below `staging` -> SHA-256 that
    was taken already. Wherever this is killed, each file that is there is noted, so that the next run may replace it.
    """
    made = {output: _noted(staging / output.name, known) for output in outputs}
    for output, files in made.items():
        before = Written.read(output).files
        both = {path: before.get(path, frozenset()) | files.get(path, frozenset()) for path in {*before, *files}}
        Written(both).write(output)
    (replaced := staging / "replaced").mkdir()
    for output in outputs:
        if output.exists():
            output.rename(replaced / output.name)
        (staging / output.name).rename(output)  # never written through: DVC may have linked it into its cache
    for output, files in made.items():
        Written(files).write(output)


def _noted(made: Path, known: Mapping[str, str]) -> dict[str, frozenset[str]]:
    paths = {path: f"{made.name}/{path}" for path in files_of(made)}
    taken = {path: frozenset({known[full]}) for path, full in paths.items() if full in known}
    return taken | hashes_of(made, paths.keys() - taken.keys())
