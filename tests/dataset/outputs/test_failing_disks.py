"""What a machine does to a run: rights, links, pipes, full and failing disks, and a run that is killed half-way."""

import errno
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from dataset import load as load_module
from dataset.data_source import DataSource
from dataset.examine import Facts, examine
from dataset.load import load, main
from dataset.manifest import Manifest, ManifestError
from dataset.outputs import originals
from dataset.params import DataParams
from dataset.source import main as source_main
from dataset.sources.file_tree import files_below
from dataset.sources.source_picture import Collection
from tests.dataset.picture_files import make_folder, save, texture
from tests.dataset.test_load import state

REPOSITORY = Path(__file__).parents[3]
PARAMS = DataParams(near_duplicate_correlation=0.9)
NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "tiles", num_objects=2)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def folder(root: Path) -> DataSource:
    return DataSource(source="folder", path=str(root))


def in_a_child(work: Callable[[], object]) -> str:
    """Run in a forked process, which may give up rights or die; return the error it raised, or ''."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            work()
        except BaseException as exc:
            os.write(writing, f"{type(exc).__name__}: {exc}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return text


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that another user may enter, unlike pytest's."""
    place = Path(tempfile.mkdtemp(prefix="bento-vision-rights-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def as_nobody(work: Callable[[], object]) -> str:
    if os.geteuid() != 0:
        return in_a_child(work)  # rights hold for whoever is not root

    def drop_and_work() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        work()

    return in_a_child(drop_and_work)


def test_folders_that_may_not_be_entered_are_named_and_nothing_is_left_out(open_place: Path) -> None:
    root = make_folder(open_place / "tiles", num_objects=2)
    closed = save(root / "good" / "monday" / "a.png", texture(9)).parent
    save(root / "bad" / "tuesday" / "b.png", texture(10)).parent.chmod(0)
    closed.chmod(0o444)  # may be listed, but what lies in it not be opened
    message = as_nobody(lambda: files_below(root))
    assert message == (
        "ManifestError: 1 folder(s) cannot be read, so pictures would be left out: "
        f"{root}/bad/tuesday (Permission denied)"
    )
    (root / "bad" / "tuesday").chmod(0o755)
    data = open_place / "data"
    data.mkdir()
    data.chmod(0o777)
    message = as_nobody(lambda: load(folder(root), data, PARAMS))
    assert f"1 file(s) cannot be read from their disk: {closed}/a.png (Permission denied)" in message
    assert "emove" not in message
    assert [path.name for path in data.iterdir()] == [".written"]  # the lock


def test_a_file_that_may_not_be_read_is_named(open_place: Path) -> None:
    root = make_folder(open_place / "tiles", num_objects=2)
    (root / "good" / "object0_shot0.png").chmod(0)
    (data := open_place / "data").mkdir()
    data.chmod(0o777)
    message = as_nobody(lambda: load(folder(root), data, PARAMS))
    assert "good/object0_shot0.png (Permission denied)" in message


def test_a_data_directory_that_may_not_be_written_is_named(open_place: Path) -> None:
    root = make_folder(open_place / "tiles", num_objects=2)
    (open_place / "data").mkdir()
    message = as_nobody(lambda: load(folder(root), open_place / "data", PARAMS))
    assert message.startswith(f"ManifestError: cannot write {open_place}/data")
    assert "Permission denied" in message


def test_one_folder_reached_by_two_ways_is_refused(root: Path) -> None:
    (root / "good" / "more").symlink_to("../bad")
    with pytest.raises(ManifestError, match=r"good/more \(the same folder as .*tiles/bad: leave one of them out\)"):
        files_below(root)


def test_links_that_lead_nowhere_or_in_circles_and_what_is_no_file_are_named_and_not_waited_for(
    root: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "bad" / "dangling.png").symlink_to("absent.png")
    (root / "bad" / "circle.png").symlink_to("circle.png")
    with pytest.raises(ManifestError, match=r"2 file\(s\) cannot be read from their disk") as caught:
        load(folder(root), data_dir, PARAMS)
    assert "dangling.png (a link to absent.png, which is not there)" in str(caught.value)
    assert "circle.png (Too many levels of symbolic links)" in str(caught.value)
    os.mkfifo(root / "good" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(root / "good")  # a socket's path may not be long
        try:
            listening.bind("socket.jpg")
        finally:
            os.chdir(REPOSITORY)
    with pytest.raises(ManifestError) as caught:
        load(folder(root), data_dir, PARAMS)
    assert str(caught.value) == (
        f"no picture but a pipe, socket or device: {root}/good/pipe.png, {root}/good/socket.jpg. Remove it"
    )
    assert source_main([str(root), "--out", str(data_dir / "source.yaml")]) == 2
    assert "no picture but a pipe, socket or device" in capsys.readouterr().err


def test_a_full_disk_is_named_with_what_is_free_and_what_was_there_stays(root: Path, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a small disk needs a mount, which needs root")
    (tmp_path / "disk").mkdir()
    folder(root).write(tmp_path / "own.yaml")
    code = (
        "import sys; from pathlib import Path; import numpy as np; from dataset.load import main; "
        "from tests.dataset.picture_files import save; from tests.dataset.test_load import state\n"
        "load = lambda: main(['--source', 'own.yaml', '--data', 'disk', '--params', sys.argv[1]])\n"
        "assert load() == 0; before = state(Path('disk'))\n"
        "save(Path('tiles/bad/large.png'), np.random.default_rng(0).integers(0, 255, (900, 900), np.uint8))\n"
        "assert load() == 2; assert state(Path('disk')) == before"
    )
    words = f'mount -t tmpfs -o size=512k none disk && exec {sys.executable} -c "$CODE" {REPOSITORY}/params.yaml'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", words], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "CODE": code},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    error = done.stderr.splitlines()[-1]
    assert error.startswith(
        "error: cannot write disk/.loading/pictures/images/bad/large.png: No space left on device; "
    )
    assert "MB is free there" in error
    assert "Your pictures are not at fault" in error


def no_larger_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))


def no_more_open_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
    with suppress(OSError):
        while True:
            os.dup(0)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        (no_larger_files, "File too large"),
        (no_more_open_files, "Too many open files; this process may not open more files: raise the limit"),
    ],
)
def test_a_limit_of_the_process_is_named(
    root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, limit: Callable[[], None], reason: str
) -> None:
    load(folder(root), data_dir, PARAMS)
    before = state(data_dir)

    def examine_limited(collection: Collection, staging: Path) -> list[Facts]:
        limit()
        return examine(collection, staging)

    monkeypatch.setattr(load_module, "examine", examine_limited)
    message = in_a_child(lambda: load(folder(root), data_dir, PARAMS))
    assert message.startswith("ManifestError: cannot "), message
    assert reason in message
    assert "emove" not in message
    assert state(data_dir) == before


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_in_reading_is_not_the_pictures_fault(
    root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Such disks cannot be had in a test: the system call's answer is made up, all else is as it is."""
    load(folder(root), data_dir, PARAMS)
    before = state(data_dir)
    opened = os.open

    def failing(path: str | os.PathLike[str], *arguments: int, **options: int) -> int:
        if str(path).endswith("tiles/good/object1_shot1.png"):
            raise OSError(number, os.strerror(number), path)
        return opened(path, *arguments, **options)

    monkeypatch.setattr("dataset.outputs.originals.os.open", failing)
    with pytest.raises(ManifestError) as caught:
        load(folder(root), data_dir, PARAMS)
    assert f"good/object1_shot1.png ({os.strerror(number)})" in str(caught.value)
    assert "emove" not in str(caught.value)
    monkeypatch.undo()
    assert state(data_dir) == before


def load_dying_at(moment: int, source: DataSource, data_dir: Path) -> None:
    """Load, and be killed instead of giving a file or folder its name for the `moment`-th time."""
    names = iter(range(1, moment))

    def dying(original: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def named(path: Path, target: Path) -> Path:
            if next(names, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(path, target)

        return named

    for name in ("rename", "replace"):
        setattr(Path, name, dying(getattr(Path, name)))
    load(source, data_dir, PARAMS)
    raise RuntimeError("came to its end")


def test_wherever_a_load_is_killed_the_next_one_mends_it(root: Path, data_dir: Path, tmp_path: Path) -> None:
    earlier = make_folder(tmp_path / "others", ("bad", "worse"), num_objects=1)
    for moment in range(1, 40):
        shutil.rmtree(data_dir, ignore_errors=True)
        load(folder(earlier), data_dir, PARAMS)
        came_to_its_end = in_a_child(lambda moment=moment: load_dying_at(moment, folder(root), data_dir))  # type: ignore[misc]
        load(folder(root), data_dir, PARAMS)
        assert len(Manifest.read(data_dir / "pictures.csv").table) == 8
        names = {path.name for path in data_dir.iterdir()}
        assert names == {".written", "description.json", "pictures", "pictures.csv"}
        if came_to_its_end:
            break
    assert moment > 8
    assert "came to its end" in came_to_its_end


def test_ctrl_c_ends_a_load_in_one_line_and_a_second_one_meanwhile_is_refused(root: Path, data_dir: Path) -> None:
    folder(root).write(data_dir / "source.yaml")
    load(folder(root), data_dir, PARAMS)
    before = state(data_dir)
    code = (
        "import pathlib, sys, time, dataset.examine, dataset.load\n"
        "def decode(*arguments):\n    print('decoding', flush=True)\n"
        "    while not pathlib.Path(sys.argv[4], 'go-on').exists(): time.sleep(0.01)\n"
        "dataset.examine.decode_with_size = decode\n"
        "from dataset.stage import run\n"
        "import runpy\nrunpy.run_module = lambda *a, **k: sys.exit(dataset.load.main(sys.argv[1:]))\n"
        "sys.exit(run('dataset.load', sys.argv[1:]))"
    )
    arguments = ["--source", str(data_dir / "source.yaml"), "--data", str(data_dir)]
    words = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(
        words, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "decoding\n"
        with pytest.raises(ManifestError, match="another run is loading or dividing the pictures in"):
            load(folder(root), data_dir, PARAMS)
        process.send_signal(signal.SIGINT)
        (data_dir / "go-on").touch()
        _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "the same command goes on" in error
    assert "Traceback" not in error
    (data_dir / "go-on").unlink()
    assert state(data_dir) == before


def test_main_names_a_file_where_the_data_directory_should_be_in_one_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").write_text("a file")
    folder(root).write(tmp_path / "own.yaml")
    assert main(["--source", str(tmp_path / "own.yaml"), "--data", str(tmp_path / "data")]) == 2
    assert (
        capsys.readouterr().err
        == f"error: {tmp_path}/data is a file; it must be a folder, or a link to one that is there\n"
    )
    assert source_main([str(root), "--out", str(tmp_path / "data" / "source.yaml")]) == 2
    assert "data is a file; it must be a folder" in capsys.readouterr().err


def test_pixels_and_bytes_of_a_copy_are_those_of_the_original(tmp_path: Path) -> None:
    original = tmp_path / "a.bin"
    for size in (0, 1, 70_001, 3_000_000):
        original.write_bytes(np.random.default_rng(size).bytes(size))
        copy = tmp_path / "copies" / str(size)
        assert originals.copy_original(original, copy) == original.read_bytes() == copy.read_bytes()
        assert copy.stat().st_ino != original.stat().st_ino
