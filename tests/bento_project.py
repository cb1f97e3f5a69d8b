"""What `bentoml build` needs, copied to a folder of the test's own, with a tiny model registered in its store."""

import os
import shutil
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from PIL import Image

from export import register
from export.bento import CARD, PACKED
from export.register import Sources
from runtime.model.contract import MODEL_NAMES
from tests.bentoml_home import bentoml_home
from tests.onnx_fixture import COLOURS, write_sources
from tests.onnx_segmenter import write_segmenter_sources

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Project:
    """A copy of the repository's serving part (`folder`) with a BentoML home beside it."""

    folder: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "BENTOML_HOME": str(self.home), "BENTOML_DO_NOT_TRACK": "True"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m ...` in the project."""
        return subprocess.run(
            [sys.executable, "-m", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )

    def register(self, scale: float = 8.0, confused: bool = False, accept_worse: str = "") -> str:
        """Register a tiny model (another `scale` is another model) with its card; returns the classifier's tag."""
        sources = write_sources(self.folder / "artifacts", scale=scale, confused=confused)
        return self.register_sources(sources, "--accept-worse", accept_worse)

    def register_segmenter(self, scale: float = 50.0) -> str:
        """Register a tiny segmentation model (another `scale` is another model) with its card; returns its tag."""
        sources = write_segmenter_sources(self.folder / "artifacts/segmentation", scale=scale)
        return self.register_sources(sources, "--task", "segmentation")

    def register_sources(self, sources: Sources, *options: str) -> str:
        """Register what was written to `artifacts` or, of segmentation, below it; returns the exported model's tag.

        The command runs in this process: one of its own would take seconds to import the same again.
        """
        arguments = ["--checkpoint", str(sources.checkpoint), "--data", str(sources.data_dir)]
        said, complained = StringIO(), StringIO()
        with (
            bentoml_home(self.home),
            chdir(self.folder),
            redirect_stdout(said),
            redirect_stderr(complained),
        ):
            status = register.main([*arguments, *options])
        assert status == 0, complained.getvalue()
        names = tuple(f"{name}:" for name in MODEL_NAMES.values())
        return next(word for word in said.getvalue().split() if word.startswith(names))

    def build(self) -> subprocess.CompletedProcess[str]:
        """Plain `bentoml build`, as a user types it."""
        return self.run("bentoml", "build", "--output", "tag")


@dataclass(frozen=True)
class Served:
    """A running server with what it serves."""

    url: str
    classifier: str
    pictures: dict[str, Path]
    project: Project


def copy_project(directory: Path) -> Project:
    folder, home = directory / "project", directory / "home"
    home.mkdir(parents=True)
    for name in ("project", "runtime", "dataset", "evaluation", "training", "export"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", *(name for name in PACKED if name != CARD)):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return Project(folder, home)


def write_pictures(directory: Path) -> dict[str, Path]:
    """One PNG of each of the tiny model's classes, by class."""
    paths = {name: directory / f"{name}.png" for name in COLOURS}
    for name, path in paths.items():
        Image.new("RGB", (50, 40), COLOURS[name]).save(path)
    return paths
