"""The whole chain as README tells it, in a copy of the checkout: real data, training, server and client.

Every command of README is run here, or named below with the reason why not. Only `params.yaml` differs: a small network
with random weights, small pictures, one epoch and few looks at the result, since what is tested is the chain and not
the model.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import yaml

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
COMMANDS = set(re.findall(r"^\$ (.+)$", README, re.M))
NOT_RUN = {
    "make labels PICTURES=my-pictures": "it needs Label Studio and a person: make test-labels",
    "make labels-pull": "it needs Label Studio: make test-labels",
    "make train DATA=labels/classification/label-studio.json": "it needs what the one before it brings back",
    "make test": "it is what runs this test",
    "make check": "it runs a part of the same",
    "make containerize": "it needs a container engine: make test-container",
}
SERVE = ".venv/bin/bentoml serve vision:latest"
MLFLOW = ".venv/bin/mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000"
BARE = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "UV_CACHE_DIR")


class Checkout:
    """A clone with its own home; remembers which commands were run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        home = folder / "home"
        home.mkdir()
        bare = {name: os.environ[name] for name in BARE if name in os.environ}
        self.environment = {**bare, "HOME": str(home), "GIT_CONFIG_GLOBAL": str(home / "gitconfig")}
        (home / "gitconfig").write_text(
            "[user]\n\tname = Test\n\temail = test@localhost\n[init]\n\tdefaultBranch = main\n"
        )
        self.ran: set[str] = set()

    def run(self, command: str, stands_for: str = "") -> str:
        """Run one command of README; `stands_for` is README's wording where a path had to be filled in."""
        assert (stands_for or command) in COMMANDS, f"README does not say: {stands_for or command}"
        self.ran.add(stands_for or command)
        return self.shell(command)

    def shell(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=3600, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    @contextmanager
    def server(self, command: str, replacing: tuple[str, str], ready_path: str) -> Iterator[str]:
        """Run a command of README that serves, on a free port, and end it."""
        assert command in COMMANDS
        self.ran.add(command)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        words = command.replace(replacing[0], replacing[1].format(port=port)).split()
        words[0] = str(self.folder / words[0])
        with (self.folder.parent / "server.log").open("wb") as log:
            process = subprocess.Popen(
                words, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                _wait(f"http://127.0.0.1:{port}{ready_path}", process)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()
                process.wait(120)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(url, timeout=60):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")


def in_order(stages: list[str]) -> bool:
    """Tell whether each stage ran after those it needs; DVC is free to take others in any order."""
    chains = [("train", "predict", "evaluate", "card"), ("train", "export", "review", "card")]
    return all([stages.index(name) for name in chain] == sorted(map(stages.index, chain)) for chain in chains)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clone as `git clone` leaves it, with this run's environment as its `.venv` and smaller params committed."""
    checkout = Checkout(tmp_path_factory.mktemp("end-to-end"))
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in filter(lambda n: (REPOSITORY / n).is_file(), listed.stdout.splitlines()):
        target = checkout.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target)  # with its time, so that make takes .venv for up to date
    (checkout.folder / ".venv").symlink_to(sys.prefix)
    params = yaml.safe_load((checkout.folder / "params.yaml").read_text(encoding="utf-8"))
    params["contract"] |= {"height": 64, "width": 64}
    params["model"] |= {"backbone": "test_efficientnet", "pretrained": "none"}
    params["evaluate"]["bootstrap_samples"] = 100
    params["review"] |= {"max_robustness_images": 12, "maps_per_class": 1, "max_maps": 6, "max_mask_images": 6}
    # The second phase alone: whatever it does is kept, so that another learning rate of it gives other answers.
    for phase, epochs in zip(params["train"]["phases"], (0, 1), strict=True):
        phase["epochs"] = epochs
    for phase, steps in zip(params["detection"]["train"]["phases"], (4, 2), strict=True):
        phase["steps"] = steps
    for phase, steps in zip(params["segmentation"]["train"]["phases"], (6, 2), strict=True):
        phase |= {"steps": steps, "trainable": "all"}
    (checkout.folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    checkout.shell("git init -q && git add -A && git commit -qm 'A clone with small params'")
    return checkout


@pytest.mark.slow
def test_the_demo_ends_with_answers_and_a_clean_checkout(checkout: Checkout) -> None:
    printed = checkout.run("make demo")
    stages = yaml.safe_load((checkout.folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert [name for name, stage in stages.items() if f"\n{name}: {stage['desc']}\n" not in printed] == []
    asked = re.findall(r"^data/pictures/images/(\w+)/\S+ +(\w+) +(\w+) +\d+\.\d%(  wrong)?$", printed, re.M)
    classes = ["Blowhole", "Break", "Crack", "Fray", "Free", "Uneven"]
    assert sorted(folder for folder, *_ in asked) == classes, printed[-2000:]
    assert all(folder == truth and (truth == answer) == (not wrong) for folder, truth, answer, wrong in asked)
    num_right = sum(truth == answer for _, truth, answer, _ in asked)
    assert f"\n{num_right} of 6 right" in printed
    assert (checkout.folder / "artifacts/demo.html").read_text().count("<figure") == 6
    bento = Path(re.findall(r"^Bento +(.+)$", printed, re.M)[0])
    for name in ("artifacts/report.html", "artifacts/MODEL_CARD.md"):
        assert re.search(rf"^(report|model card) +{name}$", printed, re.M)
        assert (checkout.folder / name).stat().st_size > 1000
    assert bento.is_relative_to(checkout.environment["HOME"])
    assert (bento / "README.md").read_text() == (checkout.folder / "artifacts/MODEL_CARD.md").read_text()
    assert not re.search("^torch", (bento / "env/python/requirements.txt").read_text(), re.M)
    assert checkout.shell("git status --porcelain") == ""
    assert (checkout.folder / "dvc.lock").is_file()


@pytest.mark.slow
def test_a_second_demo_skips_everything_up_to_date(checkout: Checkout) -> None:
    checkpoint = checkout.folder / "artifacts/training/checkpoint.pt"
    before = checkpoint.stat().st_mtime_ns
    printed = checkout.run("make demo")
    assert "Data and pipelines are up to date" in printed
    assert "already in the model store" in printed or "up to date" in printed
    assert "up to date: vision:" in printed
    assert "Running stage" not in printed
    assert checkpoint.stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_demo_of_outlines_stands_beside_that_of_classes(checkout: Checkout) -> None:
    checkpoint = checkout.folder / "artifacts/training/checkpoint.pt"
    before = checkpoint.stat().st_mtime_ns
    printed = checkout.run("make demo TASK=segment")
    stages = yaml.safe_load((checkout.folder / "segmentation/dvc.yaml").read_text(encoding="utf-8"))["stages"]
    ran = re.findall(r"Running stage 'segmentation/dvc.yaml:(\w+)'", printed)
    assert sorted(ran) == sorted(stages)
    assert in_order(ran)
    regions = r"(?:no region|\d+ x \w+).*(?:overlap|nothing to mark)"
    asked = re.findall(rf"^data/pictures/images/(\w+)/.+?{regions}", printed, re.M)
    assert asked == ["Blowhole", "Break", "Crack", "Fray", "Free", "Uneven"], printed[-2000:]
    made = checkout.folder / "artifacts/segmentation"
    assert (made / "demo.html").read_text().count("<img") == 18
    bento = Path(re.findall(r"^Bento +(.+)$", printed, re.M)[0])
    assert (bento / "README.md").read_text() == (made / "MODEL_CARD.md").read_text()
    assert checkout.shell("git status --porcelain") == ""
    assert checkpoint.stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_demo_of_boxes_stands_beside_both(checkout: Checkout) -> None:
    printed = checkout.run("make demo TASK=detect")
    stages = yaml.safe_load((checkout.folder / "detection/dvc.yaml").read_text(encoding="utf-8"))["stages"]
    ran = re.findall(r"Running stage 'detection/dvc.yaml:(\w+)'", printed)
    assert sorted(ran) == sorted(stages)
    assert in_order(ran)
    objects = r"(?:no object|\d+ x \w+).*(?:nothing to find|\d of \d found)"
    asked = re.findall(rf"^data/pictures/images/(\w+)/.+?{objects}", printed, re.M)
    assert asked == ["Blowhole", "Break", "Crack", "Fray", "Free", "Uneven"], printed[-2000:]
    made = checkout.folder / "artifacts/detection"
    assert (made / "demo.html").read_text().count("<img") == 18
    assert (made / "evaluation/objects.csv").is_file()
    assert "demo.py --task detection --picture" in printed
    assert checkout.shell("git status --porcelain") == ""


@pytest.mark.slow
def test_the_bento_serves_from_another_folder_and_readmes_client_is_answered(checkout: Checkout) -> None:
    """It holds all models now, and answers for each."""
    checkout.shell(".venv/bin/python -m export.bento --task all")
    (client,) = re.findall(r"```python\n(.+?)```", README, re.S)
    pictures = sorted((checkout.folder / "data/pictures/images").rglob("*.jpg"))[:2]
    elsewhere = checkout.folder.parent / "elsewhere"
    elsewhere.mkdir()
    for picture, name in zip(pictures, ("tile.jpg", "other.jpg"), strict=True):
        shutil.copy(picture, elsewhere / name)
    with checkout.server(SERVE, ("latest", "latest --host 127.0.0.1 --port {port}"), "/readyz") as url:
        code = client.replace("http://127.0.0.1:3000", url)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=elsewhere, env=checkout.environment, capture_output=True, text=True
        )
        located = [
            subprocess.run(
                [sys.executable, "-c", code.replace("predict", api).replace('["version"]', '["name"]')],
                cwd=elsewhere, env=checkout.environment, capture_output=True, text=True,
            )
            for api in ("segment", "detect")
        ]  # fmt: skip
    assert done.returncode == 0, done.stderr
    for answered, model in zip(located, ("vision-segmenter", "vision-detector"), strict=True):
        assert answered.stdout.count(f" {model}\n") == 2, answered.stdout + answered.stderr
    assert len(re.findall(r"^(Blowhole|Break|Crack|Fray|Free|Uneven) 0\.\d+ \w+$", done.stdout, re.M)) == 2, done.stdout


@pytest.mark.slow
def test_the_runs_are_in_mlflow(checkout: Checkout) -> None:
    question = "/ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=bento-vision"
    # One process of its server is enough, and none of those for its jobs: each of the twelve imports all of MLflow.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(checkout.environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        with checkout.server(MLFLOW, ("--port 5000", "--port {port} --workers 1"), "/health") as url:
            answer = urllib.request.urlopen(url + question).read()
    assert json.loads(answer)["experiment"]["lifecycle_stage"] == "active"


@pytest.mark.slow
def test_own_pictures_go_through_the_chain_with_and_without_a_groups_file(checkout: Checkout, tmp_path: Path) -> None:
    manifest = pd.read_csv(checkout.folder / "data/manifest.csv", dtype=str, keep_default_na=False)
    chosen = manifest[manifest["label"].isin(["Blowhole", "Free", "Uneven"])]
    chosen = chosen[chosen["group"].isin(chosen.groupby("label")["group"].unique().explode().groupby(level=0).head(8))]
    rows = []
    for path, label, group in chosen[["path", "label", "group"]].to_numpy().tolist():
        target = tmp_path / "pictures" / label / Path(path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout.folder / "data" / path, target)
        rows.append({"path": f"{label}/{target.name}", "group": group, "shift": "early"})
    pd.DataFrame(rows).to_csv(tmp_path / "groups.csv", index=False)
    own, groups = tmp_path / "pictures", tmp_path / "groups.csv"
    # The stages after `split` read its manifest and no more of this: they run for the pictures without groups.
    # Some of them are the pictures of the tests before, which would keep their sides.
    command = f"make data DATA={own} GROUPS={groups} SPLIT=new"
    checkout.run(command, "make demo DATA=path/to/pictures GROUPS=path/to/groups.csv")
    read = pd.read_csv(checkout.folder / "data/manifest.csv", dtype=str)
    assert dict(zip(read["path"].str.removeprefix("pictures/images/"), read["group"], strict=True)) == {
        row["path"]: row["group"] for row in rows
    }
    assert "attributes.shift" in read.columns
    # A store of its own: the gate knows these pictures from the models before, of more classes, and would rightly ask
    # which of them counts.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(checkout.environment, "BENTOML_HOME", str(tmp_path / "store"))
        printed = checkout.run(f"make demo DATA={own}", "make demo DATA=path/to/pictures")
    assert "of 3 right" in printed


@pytest.mark.slow
def test_dvc_shows_the_chain_and_reruns_what_a_changed_setting_touches(checkout: Checkout) -> None:
    """Of the own pictures of the test before, which are few."""
    assert "+-------------+" in checkout.run(".venv/bin/dvc dag")
    assert "Data and pipelines are up to date" in checkout.run(".venv/bin/dvc repro")
    assert "macro_f1" in checkout.run(".venv/bin/dvc metrics show")
    checkout.run("make track")
    checkout.shell("git add dvc.lock && git commit -qm 'A run of my own'")
    printed = checkout.run(".venv/bin/dvc exp run -S train.phases.1.lr=0.0005")
    ran = re.findall(r"Running stage '(\w+)'", printed)
    assert sorted(ran) == sorted(["train", "predict", "compare", "evaluate", "export", "review", "card"])
    assert in_order(ran)
    difference = checkout.run(".venv/bin/dvc metrics diff")
    # Only what changed is listed: some figure does, accuracy, in steps of one picture, need not.
    assert re.search(r"test\.[\w.]+ +\d+\.\d+ +\d+\.\d+ +-?\d", difference), difference
    checkout.run(".venv/bin/dvc plots show")
    page = (checkout.folder / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("val_loss", "macro_f1", "confusion"))


@pytest.mark.slow
def test_every_command_of_readme_was_run(checkout: Checkout) -> None:
    assert checkout.ran | set(NOT_RUN) == COMMANDS
