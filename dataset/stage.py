"""Run the module of one stage: `python -m dataset.stage evaluation.evaluate [OPTIONS]`.

DVC would remove a stage's outputs before it runs, whatever a person put or changed there. So dvc.yaml marks them
`persist`, and here what a run wrote is removed and nothing else: foreign files in an output folder are held aside
and brought back after the run, and a file of the run's that a person changed, or that the run now writes, is kept in
`kept/`. Loading does its own, after all checks. Splitting reads what it wrote before, so that nothing is removed there:
a file that a person changed is copied to `kept/` before it is replaced.

Ctrl-C, and a disk that is full or fails, end in one line.
"""

import glob
import importlib.util
import os
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dataset.outputs.disk import OF_THE_MACHINE, OUT_OF_HANDLES, write_problem
from dataset.outputs.pipeline import announce, outputs_of
from dataset.outputs.written import KEPT_DIR, Written, files_of, foreign_files, hashes_of
from project.interruption import INTERRUPTED

_REPLACES_ITS_OUTPUTS_ITSELF = frozenset({"dataset.load", "dataset.crops.cut"})
_READS_ITS_OUTPUTS = frozenset({"dataset.split"})


@dataclass(frozen=True)
class _Aside:
    """What was moved out of an output's way: from `folder`, the paths in `own` go back to it after the run."""

    output: Path
    folder: Path
    paths: frozenset[str]
    own: frozenset[str]

    def bring_back(self) -> frozenset[str]:
        """Move back what is a person's and was not written anew; return its paths, and say where the rest is."""
        back = frozenset(path for path in self.own if path and not (self.output / path).exists())
        for path in back:
            (self.output / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).rename(self.output / path)
        _remove_empty(self.folder)
        if rest := self.paths - back:
            where = [str(self.folder / (path or self.output.name)) for path in sorted(rest)]
            sys.stderr.write(f"{self.output} held what no run can make again; it is kept: {', '.join(where)}\n")
        return back


def clear(output: Path, *, is_read: bool = False) -> _Aside:
    """Remove what runs wrote into an output; move all else aside, to `kept/` beside it.

    is_read: the run reads what is there, so that nothing is removed and all else is copied.
    """
    written = Written.read(output)
    files = files_of(output)
    foreign = frozenset(foreign_files(output, written)) | (written.own & files.keys())
    is_own = written.own if written.is_open else foreign - written.files.keys()
    aside = output.parent / KEPT_DIR / f"{output.name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    for path, file in files.items():
        if path in foreign:
            place = aside / (path or output.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copy2 if is_read else os.rename)(file, place)
        elif not is_read:
            file.unlink()
    _remove_empty(output)
    return _Aside(output, aside, foreign, foreign & is_own)


def _bring_back_after_kill(output: Path) -> None:
    """Move back a person's files that a run which was killed had moved aside."""
    written = Written.read(output)
    for path in filter(None, written.own if written.is_open else ()):
        aside = sorted((output.parent / KEPT_DIR).glob(f"{glob.escape(output.name)}-*/{glob.escape(path)}"))
        if aside and not os.path.lexists(output / path):
            (output / path).parent.mkdir(parents=True, exist_ok=True)
            aside[-1].rename(output / path)


def _remove_empty(root: Path) -> None:
    """Remove folders without files, `root` among them."""
    for folder, _, _ in os.walk(root, topdown=False):
        with suppress(OSError):  # what is not empty stays
            Path(folder).rmdir()


@contextmanager
def fresh(outputs: Sequence[Path], *, are_read: bool = False) -> Iterator[None]:
    """Clear the outputs; however the block ends, bring back what is a person's and note what was written.

    are_read: as in `clear`.
    """
    for output in outputs:
        _bring_back_after_kill(output)
    aside = [clear(output, is_read=are_read) for output in outputs]
    for entry in aside:
        Written(own=entry.own, is_open=True).write(entry.output)
    try:
        yield
    finally:
        for entry in aside:
            paths = list(files_of(entry.output))
            own = entry.bring_back()
            Written(hashes_of(entry.output, paths), own).write(entry.output)


def _stop(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def run(module: str, options: Sequence[str]) -> int:
    """Run a stage's module with its outputs cleared and return its exit status."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        outputs = [] if module in _REPLACES_ITS_OUTPUTS_ITSELF else outputs_of([module, *options])
        with fresh(outputs, are_read=module in _READS_ITS_OUTPUTS):
            sys.argv = [module, *options]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as exc:
        if isinstance(exc.code, str):
            sys.stderr.write(f"{exc.code}\n")
        return exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nstopped in {module}: what earlier stages made is saved, and the same command goes on\n")
        return INTERRUPTED
    except OSError as exc:
        if exc.errno not in {*OF_THE_MACHINE, *OUT_OF_HANDLES}:
            raise
        sys.stderr.write(f"error: {write_problem(exc, Path(str(exc.filename or Path.cwd())))}\n")
        return 2
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments or importlib.util.find_spec(arguments[0]) is None:
        sys.stderr.write("usage: python -m dataset.stage MODULE [OPTIONS]\n")
        return 2
    announce(arguments, "dataset.stage")
    return run(arguments[0], arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
