"""What every command does alike: tried on modules that are run as users run ours, and called as tests call them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOM = """
import argparse
import logging
import sys

from project.command import UsageError, at_least, command, positive


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", default="")
    parser.add_argument("--number", type=at_least(2), default=2)
    parser.add_argument("--share", type=positive, default=1.0)


@command(_arguments, known=(FileNotFoundError, ValueError){options})
def main(arguments: argparse.Namespace) -> int | None:
    logging.getLogger("room").info("at work")
    if arguments.what == "together":
        raise UsageError("these do not go together")
    if arguments.what == "unknown":
        raise KeyError("a fault")
    if arguments.what:
        raise ValueError(arguments.what)
    return 3 if arguments.number == 3 else None


if __name__ == "__main__":
    sys.exit(main())
"""


def run(tmp_path: Path, *words: str, options: str = "") -> subprocess.CompletedProcess[str]:
    (tmp_path / "room").mkdir(exist_ok=True)
    (tmp_path / "room/count.py").write_text(
        f'"""Count things.\n\n    the second line\n"""\n{ROOM}'.replace("{options}", options)
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "100"}
    command = [sys.executable, "-m", "room.count", *words]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)


def test_help_begins_with_the_way_it_is_called_and_is_the_modules_docstring(tmp_path: Path) -> None:
    shown = run(tmp_path, "--help").stdout
    assert shown.startswith("usage: python -m room.count [-h] [--number NUMBER]")
    assert "\nCount things.\n\n    the second line\n" in shown


@pytest.mark.parametrize(
    ("words", "options", "status", "output", "error"),
    [
        ([], "", 0, "", "at work\n"),
        ([], ', logs_to="stdout"', 0, "at work\n", ""),
        ([], ', logs_to="nothing"', 0, "", ""),
        (["--number", "3"], "", 3, "", "at work\n"),
        (["no such thing"], "", 2, "", "at work\ncount: no such thing\n"),
        (["no such thing"], ', speaker="cannot count"', 2, "", "at work\ncannot count: no such thing\n"),
    ],
)
def test_status_log_and_known_errors(
    words: list[str], options: str, status: int, output: str, error: str, tmp_path: Path
) -> None:
    done = run(tmp_path, *words, options=options)
    assert (done.returncode, done.stdout, done.stderr) == (status, output, error)


def test_arguments_that_do_not_go_together_end_as_a_wrong_one_does(tmp_path: Path) -> None:
    done = run(tmp_path, "together")
    assert done.returncode == 2
    assert "usage: python -m room.count" in done.stderr
    assert done.stderr.endswith("python -m room.count: error: these do not go together\n")


def test_another_error_is_a_fault_with_its_traceback(tmp_path: Path) -> None:
    done = run(tmp_path, "unknown")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'a fault'" in done.stderr


def test_called_from_python_it_has_the_same_name_and_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    from room.count import main  # type: ignore[import-not-found]

    assert main([]) == 0
    assert main(["gone"]) == 2
    assert capsys.readouterr().err.endswith("count: gone\n")
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert capsys.readouterr().out.startswith("usage: python -m room.count ")


@pytest.mark.parametrize("words", [("--number", "1"), ("--number", "1.5"), ("--share", "0"), ("--share", "inf")])
def test_a_number_out_of_range_is_refused_with_what_is_asked_for(words: tuple[str, str], tmp_path: Path) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == 2
    kind = "whole number of at least 2" if words[0] == "--number" else "number above 0"
    assert f"argument {words[0]}: must be a {kind}, got '{words[1]}'" in done.stderr
