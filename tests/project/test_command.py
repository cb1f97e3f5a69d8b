"""What every command does alike: tried on modules that are run as users run ours, and called as tests call them."""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from project.command import Main, at_least, positive

REPOSITORY = Path(__file__).parents[2]
ROOM = """
import argparse
import logging
import sys

from project.command import UsageError, at_least, command


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", default="")
    parser.add_argument("--number", type=at_least(2), default=2)


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


def write(tmp_path: Path, options: str = "") -> None:
    (tmp_path / "room").mkdir(exist_ok=True)
    text = f'"""Count things.\n\n    the second line\n"""\n{ROOM}'
    (tmp_path / "room/count.py").write_text(text.replace("{options}", options))


def run(tmp_path: Path, *words: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "room.count", *words]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "100"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def loaded(tmp_path: Path, options: str = "") -> Main:
    """Return the command as a test of ours would import it."""
    write(tmp_path, options)
    spec = importlib.util.spec_from_file_location("room.count", tmp_path / "room/count.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    main: Main = module.main
    return main


@pytest.mark.parametrize(
    ("options", "output", "error"),
    [
        ("", "", "at work\n"),
        (', logs_to="stdout", speaker="cannot count"', "at work\n", ""),
        (', logs_to="nothing"', "", ""),
    ],
)
def test_run_as_users_run_it_it_logs_and_explains_a_known_error(
    options: str, output: str, error: str, tmp_path: Path
) -> None:
    write(tmp_path, options)
    name = "cannot count" if "speaker" in options else "count"
    assert run(tmp_path, "no such thing") == (2, output, f"{error}{name}: no such thing\n")


def test_help_begins_with_the_way_it_is_called_and_is_the_modules_docstring(tmp_path: Path) -> None:
    write(tmp_path)
    status, shown, _ = run(tmp_path, "--help")
    assert status == 0
    assert shown.startswith("usage: python -m room.count [-h] [--number NUMBER]")
    assert "\nCount things.\n\n    the second line\n" in shown


def test_called_from_python_it_has_the_same_name_and_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = loaded(tmp_path)
    assert main([]) == 0
    assert main(["--number", "3"]) == 3
    assert main(["gone"]) == 2
    assert capsys.readouterr().err.endswith("count: gone\n")
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert capsys.readouterr().out.startswith("usage: python -m room.count ")


def test_arguments_that_do_not_go_together_end_as_a_wrong_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        loaded(tmp_path)(["together"])
    error = capsys.readouterr().err
    assert error.startswith("usage: python -m room.count")
    assert error.endswith("python -m room.count: error: these do not go together\n")


def test_another_error_is_a_fault_and_not_explained_away(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="a fault"):
        loaded(tmp_path)(["unknown"])


@pytest.mark.parametrize("text", ["1", "1.5", "-2", ""])
def test_a_whole_number_that_is_too_low_or_none_is_refused(text: str) -> None:
    assert at_least(2)("2") == 2
    with pytest.raises(argparse.ArgumentTypeError, match=f"a whole number of at least 2, got '{text}'"):
        at_least(2)(text)


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "much"])
def test_a_number_that_is_not_above_0_is_refused(text: str) -> None:
    assert positive("1e-6") == 1e-6
    with pytest.raises(argparse.ArgumentTypeError, match=f"a number above 0, got '{text}'"):
        positive(text)
