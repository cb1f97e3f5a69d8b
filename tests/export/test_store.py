"""A BentoML home that cannot be written is found before the training, in one line."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from export.store import StoreError, bentoml_home, check_store

NOBODY = 65534


def test_the_home_is_bentomls_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = "from bentoml._internal.configuration.containers import BentoMLContainer as c; print(c.bentoml_home.get())"
    for name, value in (
        ("BENTOML_HOME", str(tmp_path / "store")),
        ("BENTOML_HOME", "$HOME/store"),
        ("HOME", str(tmp_path)),
    ):
        monkeypatch.delenv("BENTOML_HOME", raising=False)
        monkeypatch.setenv(name, value)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert str(bentoml_home()) == done.stdout.strip()


def test_a_home_that_is_there_or_can_be_made_is_taken(tmp_path: Path) -> None:
    for _ in range(2):
        check_store(tmp_path / "deep" / "bentoml")
    assert list((tmp_path / "deep/bentoml").iterdir()) == []


@pytest.mark.parametrize("home", ["/proc/bentoml", "/dev/null/bentoml", "/dev/null"])
def test_a_home_that_cannot_be_written_is_refused_with_what_to_set(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "BENTOML_HOME": home}
    done = subprocess.run([sys.executable, "-m", "export.store"], capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: models cannot be stored in {home}: ")
    assert "export BENTOML_HOME=" in done.stderr
    assert done.stderr.count("\n") == 1


def test_rights_are_tried_and_not_guessed() -> None:
    if os.geteuid() != 0:
        pytest.skip("rights are taken away by root")
    place = Path(tempfile.mkdtemp(prefix="bento-vision-rights-"))
    place.chmod(0o755)
    try:
        if (child := os.fork()) == 0:
            os.setresuid(NOBODY, NOBODY, NOBODY)
            try:
                check_store(place)
            except StoreError as exc:
                os._exit(7 if "Permission denied" in str(exc) else 8)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        shutil.rmtree(place)
