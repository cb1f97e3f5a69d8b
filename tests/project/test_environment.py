"""The frozen package list: what is installed, whatever was asked for."""

import platform
from importlib import metadata
from pathlib import Path

import pytest

from project.environment import main
from project.packages import RequirementsError, read_pins

REPOSITORY = Path(__file__).parents[2]
NUMPY = metadata.version("numpy")


def run(tmp_path: Path, text: str) -> tuple[int, Path]:
    (tmp_path / "requirements.txt").write_text(text)
    out = tmp_path / "deep" / "environment.txt"
    return main(["--requirements", str(tmp_path / "requirements.txt"), "--out", str(out)]), out


def test_installed_versions_are_written_sorted_below_pythons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"# by uv\npillow=={metadata.version('pillow')} \\\n    --hash=sha256:00\n    # via x\nnumpy=={NUMPY}\n"
    code, out = run(tmp_path, text)
    assert code == 0
    assert out.read_text().splitlines() == [
        f"python=={platform.python_version()}",
        f"numpy=={NUMPY}",
        f"pillow=={metadata.version('pillow')}",
    ]
    assert capsys.readouterr().err == ""


def test_a_missing_and_a_different_package_are_written_as_they_are_and_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(tmp_path, "numpy==0.1\nno-such-package==2.0\n")
    assert code == 0
    assert out.read_text().splitlines()[1:] == ["no-such-package==missing", f"numpy=={NUMPY}"]
    error = capsys.readouterr().err
    assert f"warning: numpy is {NUMPY}, but" in error
    assert "warning: no-such-package is missing" in error


def test_names_extras_and_markers_are_understood(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text(
        "--require-hashes\nPyYAML==1\nmypkg[extra]==2 ; python_version >= '3.0'\nother==3 ; sys_platform == 'win32'\n"
    )
    assert read_pins(tmp_path / "r.txt") == {"pyyaml": "1", "mypkg": "2"}


def test_the_projects_own_file_is_read_whole() -> None:
    text = (REPOSITORY / "requirements" / "train.txt").read_text()
    pins = read_pins(REPOSITORY / "requirements" / "train.txt")
    assert {"torch", "timm", "numpy"} <= set(pins)
    assert len(pins) == sum("==" in line and not line.lstrip().startswith("#") for line in text.splitlines())


@pytest.mark.parametrize("text", ["", "# nothing\n", "=== ===\n"])
def test_a_file_without_pins_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(tmp_path, text)
    assert code == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not out.exists()


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RequirementsError, match=r"cannot read .*absent\.txt"):
        read_pins(tmp_path / "absent.txt")
