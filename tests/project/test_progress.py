"""A bar on a terminal, lines in a log, nothing where nobody wants it."""

import contextlib
import os
import re
import termios

import pytest

from project.progress import progress


def on_a_terminal(*, is_shown: bool = True) -> str:
    """Return what stderr shows of a loop if it is a terminal."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    # Not in a fixture: pytest puts its own stderr back between that and the test.
    with os.fdopen(theirs, "w") as end, contextlib.redirect_stderr(end):
        assert list(progress([1, 2], "reading", is_shown=is_shown)) == [1, 2]
        end.write("end\n")
        end.flush()
        shown = os.read(ours, 65536).decode()
    os.close(ours)
    return shown


def test_a_log_gets_lines_and_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter("abc"), "reading", 3, "picture", line_every_s=0)) == ["a", "b", "c"]
    said = capsys.readouterr().err
    assert re.match(r"reading:  33% 1/3 \[.*picture/?.*\]\nreading:  67% 2/3 .*\nreading: 100% 3/3 .*\n$", said)
    assert "\r" not in said


def test_a_short_loop_says_nothing_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress([1, 2], "reading")) == [1, 2]
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar() -> None:
    assert "\rreading:   0%|" in on_a_terminal()


@pytest.mark.parametrize(("disable", "is_shown"), [("1", True), ("", False)])
def test_who_wants_none_gets_none(disable: str, is_shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", disable)
    assert on_a_terminal(is_shown=is_shown) == "end\r\n"
