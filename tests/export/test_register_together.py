"""Jobs that end at the same time register at the same time: each pair is whole, and the newest is one of them."""

import os
import subprocess
import sys
from pathlib import Path

from runtime.hashing import file_sha256
from tests.onnx_fixture import write_sources

REPOSITORY = Path(__file__).parent.parent.parent
NUM_JOBS = 3


def test_models_that_are_registered_at_once_are_all_there_and_whole(tmp_path: Path) -> None:
    home = tmp_path / "home"
    sources = [write_sources(tmp_path / f"job{number}", scale=8.0 + number) for number in range(NUM_JOBS)]
    jobs = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "export.register"),
                *("--checkpoint", str(one.checkpoint), "--export", str(one.export_dir)),
                *("--evaluation", str(one.evaluation_dir), "--card", str(one.card)),
                *("--predictions", str(one.predictions), "--data", str(one.data_dir)),
            ],
            cwd=REPOSITORY, env={**os.environ, "BENTOML_HOME": str(home)}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for one in sources
    ]  # fmt: skip
    said = [job.communicate() for job in jobs]
    assert [job.returncode for job in jobs] == [0] * NUM_JOBS, said
    classifiers, checkpoints = (home / "models" / name for name in ("vision-classifier", "vision-checkpoint"))
    versions = {path.name for path in classifiers.iterdir() if path.is_dir()}
    assert versions == {path.name for path in checkpoints.iterdir() if path.is_dir()}
    found = {file_sha256(classifiers / version / "model.onnx") for version in versions}
    assert found == {file_sha256(one.export_dir / "model.onnx") for one in sources}
    assert (classifiers / "latest").read_text() == (checkpoints / "latest").read_text()
    assert (classifiers / "latest").read_text() in versions
    assert not [path for path in (home / "tmp").iterdir() if path.is_dir()]
