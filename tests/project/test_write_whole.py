"""A file is the old one or the new one, never a part of it."""

import errno
import os
from pathlib import Path

import pytest

from project.write_whole import whole_file, write_whole


def test_text_and_bytes_are_joined_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_whole(path, "Käfer\r\n", b"\xff", memoryview(b"end"))
    assert path.read_bytes() == "Käfer\r\n".encode() + b"\xffend"
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_the_old_file_stays_until_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_a_pipe_and_what_lies_in_dev_are_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, "text")
        assert os.read(reader, 10) == b"text"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    with whole_file(Path("/dev/stdout")) as target:  # often a link to a file
        assert target == Path("/dev/stdout")


def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _stop_halfway(path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "old")]


def test_file_then_folder_are_on_the_disk_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut leaves: the bytes before the name, and the name before anybody relies on it."""
    steps: list[str] = []
    path = tmp_path / "file"

    def fsync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append("folder, renamed" if target == tmp_path and path.is_file() else target.name)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, "text")
    assert len(steps) == 2
    assert steps[0].startswith("file.")
    assert steps[1] == "folder, renamed"


def test_a_disk_that_cannot_sync_folders_is_no_error_but_one_that_fails_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    number = errno.EINVAL
    write_whole(tmp_path / "file", "text")
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        write_whole(tmp_path / "file", "text")


def _stop_halfway(path: Path) -> None:
    with whole_file(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask
