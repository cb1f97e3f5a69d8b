"""Where pictures may lie, and what a run finds where it writes: refused before anything is touched."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dataset.data_source import DataSource
from dataset.load import load as load_pictures
from dataset.load import main as load
from dataset.manifest import ManifestError
from dataset.outputs.replacing import alone
from dataset.outputs.written import foreign_files
from dataset.params import DataParams
from dataset.source import main as source
from tests.dataset.picture_files import make_folder, save, texture
from tests.dataset.test_load import state

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with this project's dvc.yaml and params, and pictures beside it, as the working directory."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPOSITORY / name, root)
    make_folder(tmp_path / "photos", num_objects=2)
    monkeypatch.chdir(root)
    return root


def noted_and_loaded(pictures: str = "../photos", *options: str) -> int:
    return source([pictures, *options, "--out", "data/source.yaml"]) or load([])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run `dataset.source`, and `dataset.load` as if the source had been noted; return the one line of both."""
    capsys.readouterr()
    before = state(Path.cwd().parent)
    assert source([*arguments, "--out", "data/source.yaml"]) == 2
    message = capsys.readouterr().err
    assert state(Path.cwd().parent) == before
    assert message.count("\n") == 1
    groups = arguments[2] if len(arguments) > 2 else ""
    DataSource(source="folder", path=arguments[0], groups=groups).write(Path("own.yaml"))
    assert load(["--source", "own.yaml"]) == 2
    assert capsys.readouterr().err == message
    Path("own.yaml").unlink()
    assert state(Path.cwd().parent) == before
    return message


@pytest.mark.parametrize(
    "place",
    ["data/pictures", "data/pictures/mine", "artifacts/evaluation", "artifacts/review/maps/mine", "data/cache/x"],
)
def test_pictures_in_a_place_of_the_runs_are_refused(
    project: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    make_folder(project / place, num_objects=1)
    message = refused(capsys, place)
    assert place in message
    assert "make demo DATA=my-pictures" in message


@pytest.mark.parametrize("around", ["data", ".", "..", "data/../data", "artifacts"])
def test_a_folder_that_holds_a_place_of_the_runs_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], around: str
) -> None:
    make_folder(project / "artifacts", num_objects=1)
    make_folder(project / "data", num_objects=1)
    assert " holds " in refused(capsys, around)


def test_links_to_places_of_the_runs_are_seen(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert noted_and_loaded() == 0
    Path("by-link").symlink_to("data/pictures/images")
    assert "by-link lies in data/pictures" in refused(capsys, "by-link")
    make_folder(project / "mixed", ("good",), num_objects=1)
    (project / "mixed" / "bad").symlink_to("../data/pictures/images/bad")
    assert "mixed/bad lies in data/pictures" in refused(capsys, "mixed")
    (project / "mixed" / "bad").unlink()
    (project / "mixed" / "bad").mkdir()
    (project / "mixed" / "bad" / "a.png").symlink_to("../../data/pictures/images/bad/object0_shot0.png")
    assert "a.png is a link to a file in data/pictures" in refused(capsys, "mixed")


def test_a_bind_mount_of_a_place_of_the_runs_is_seen(project: Path) -> None:
    assert noted_and_loaded() == 0
    before = state(project)
    (project / "mounted").mkdir()
    script = (
        f"mount --bind data/pictures/images mounted && exec {sys.executable} -m dataset.source mounted --out data/x"
    )
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "mounted is, by another name, data/pictures" in done.stderr
    assert state(project) == before


@pytest.mark.parametrize("name", ["data/pictures.csv", "data/manifest.csv"])
def test_a_groups_file_that_a_run_would_replace_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    Path("data").mkdir()
    Path(name).write_text("path,group\n")
    assert f"{name} is where runs write" in refused(capsys, "../photos", "--groups", name)


def test_what_no_run_replaces_may_lie_in_data(project: Path, tmp_path: Path) -> None:
    (project / "data").mkdir()
    shutil.move(tmp_path / "photos", project / "data/mine")
    names = sorted(
        path.relative_to(project / "data/mine").as_posix() for path in (project / "data/mine").rglob("*.png")
    )
    Path("data/groups.csv").write_text("path,group\n" + "".join(f"{name},{name}\n" for name in names))
    before = state(project / "data")
    assert noted_and_loaded("data/mine", "--groups", "data/groups.csv") == 0
    after = state(project / "data")
    assert {name: after[name] for name in before} == before


def test_pictures_put_into_data_pictures_before_the_first_run_are_found(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(project / "data/pictures", num_objects=1)
    before = state(project)
    assert source(["--out", "data/source.yaml"]) == 2
    assert "mv data/pictures my-pictures" in capsys.readouterr().err
    assert state(project) == before


def test_a_picture_added_to_the_copies_is_found_even_if_it_is_a_copy_of_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert noted_and_loaded() == 0
    folder = project / "data/pictures/images/bad"
    shutil.copy(folder / "object0_shot0.png", folder / "new.png")
    before = state(project)
    for run in (source, load):
        assert run([]) == 2
        message = capsys.readouterr().err
        assert "1 file(s) there were put or changed by somebody else: data/pictures/images/bad/new.png" in message
        assert "mv data/pictures/images my-pictures" in message  # with the masks beside it, it would be no folder
    assert state(project) == before
    (folder / "new.png").unlink()
    assert source([]) == load([]) == 0


def test_a_changed_copy_is_found_and_a_removed_one_comes_back(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert noted_and_loaded() == 0
    picture = project / "data/pictures/images/bad/object0_shot0.png"
    whole = picture.read_bytes()
    save(picture, texture(7))
    assert load([]) == 2
    assert "object0_shot0.png" in capsys.readouterr().err
    picture.unlink()
    assert load([]) == 0
    assert picture.read_bytes() == whole


@pytest.mark.parametrize("name", ["pictures.csv", "description.json"])
def test_a_table_of_a_persons_own_is_not_replaced(project: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    with alone(Path("data")):  # leaves its lock file
        Path("data", name).write_text("mine")
    assert noted_and_loaded() == 2
    assert f"mv data/{name} {name}.mine" in capsys.readouterr().err
    assert Path("data", name).read_text() == "mine"


def test_a_file_managers_litter_is_nobodys(project: Path) -> None:
    assert noted_and_loaded() == 0
    for name in (".DS_Store", "Thumbs.db", "._object0_shot0.png"):
        (project / "data/pictures/images/bad" / name).write_bytes(b"\0\x05\x16\x07")  # as macOS begins them
    assert source([]) == load([]) == 0


def test_a_link_in_the_place_of_the_copies_is_neither_followed_nor_removed(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data").mkdir()
    Path("data/pictures").symlink_to("../../photos")
    before = state(tmp_path / "photos")
    assert noted_and_loaded("synthetic-tiles") == 2
    assert "make demo DATA=../../photos" in capsys.readouterr().err
    assert Path("data/pictures").is_symlink()
    assert state(tmp_path / "photos") == before


@pytest.mark.parametrize("is_there", [True, False])
def test_data_may_be_a_link_to_another_disk_that_is_there(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_there: bool
) -> None:
    Path("data").symlink_to(tmp_path / "disk")
    if is_there:
        (tmp_path / "disk").mkdir()
        assert noted_and_loaded() == 0
        assert noted_and_loaded() == 0
        assert len(list((tmp_path / "disk/pictures").rglob("*.png"))) == 8
    else:
        assert noted_and_loaded() == 2
        assert f"data is a link to {tmp_path / 'disk'}, which is not there" in capsys.readouterr().err


def test_what_an_earlier_version_loaded_is_known_by_dvcs_lock(project: Path) -> None:
    """There was no note of what a run wrote; dvc.lock and DVC's cache hold it."""
    assert noted_and_loaded() == 0
    shutil.rmtree("data/.written")
    assert len(foreign_files(Path("data/pictures"))) == 8
    stage = {"stages": {"load": {"cmd": "true", "outs": [{"data/pictures": {"persist": True}}]}}}

    Path("dvc.yaml").write_text(yaml.safe_dump(stage))
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "-q"], check=True)
    subprocess.run([*dvc, "commit", "-q", "-f"], check=True)
    assert foreign_files(Path("data/pictures")) == []
    shutil.copy("data/pictures/images/bad/object0_shot0.png", "data/pictures/images/bad/new.png")
    assert foreign_files(Path("data/pictures")) == ["images/bad/new.png"]


def test_a_persons_picture_whose_name_begins_as_litters_do_is_found(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert noted_and_loaded() == 0
    shutil.copy("../photos/bad/object0_shot0.png", "data/pictures/images/bad/._mine.png")
    assert load([]) == 2
    assert "data/pictures/images/bad/._mine.png" in capsys.readouterr().err
    assert Path("data/pictures/images/bad/._mine.png").is_file()


@pytest.mark.parametrize("name", ["skipped.csv", "unreadable.csv"])
def test_a_list_of_a_persons_own_is_neither_replaced_nor_removed(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with alone(Path("data")):  # leaves its lock file
        Path("data", name).write_text("mine")
    assert f"data/{name} was not written by a run" in refused(capsys, "../photos")
    assert Path("data", name).read_text() == "mine"
    assert f"data/{name} is where runs write" in refused(capsys, "../photos", "--groups", f"data/{name}")


def test_a_list_of_what_was_left_out_that_a_person_changed_is_kept(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("../photos/bad/broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert noted_and_loaded("../photos", "--skip-unreadable") == 0
    assert load([]) == 0  # one that a run wrote is replaced
    with Path("data/skipped.csv").open("a") as file:
        file.write("seen by me\n")
    assert load([]) == 2
    assert "data/skipped.csv was not written by a run, or was changed since" in capsys.readouterr().err
    assert Path("data/skipped.csv").read_text().endswith("seen by me\n")


def test_another_choice_of_pictures_waits_for_the_run_that_loads(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert noted_and_loaded() == 0
    noted = Path("data/source.yaml").read_text()
    make_folder(Path("../others"), num_objects=3)
    with alone(Path("data")):
        assert source(["../photos", "--out", "data/source.yaml"]) == 0  # the same choice
        assert source(["../others", "--out", "data/source.yaml"]) == 2
    assert "another run is loading or dividing the pictures in data: wait for it to end" in capsys.readouterr().err
    assert Path("data/source.yaml").read_text() == noted


def test_a_choice_that_another_run_noted_before_loading_began_ends_the_run(project: Path) -> None:
    assert noted_and_loaded() == 0
    before = state(Path("data/pictures"))
    earlier = DataSource(source="synthetic-tiles")
    with pytest.raises(ManifestError, match="names other pictures than when this run began: run it again"):
        load_pictures(earlier, Path("data"), DataParams(near_duplicate_correlation=0.9), noted=Path("data/source.yaml"))
    assert state(Path("data/pictures")) == before


def test_what_a_person_put_where_dvc_removes_outputs_is_kept(project: Path) -> None:
    Path("artifacts/training").mkdir(parents=True)
    own = Path("artifacts/training/checkpoint.pt")
    own.write_text("mine")
    Path("artifacts/predictions.csv").write_text("of a run")
    digest = hashlib.md5(b"of a run", usedforsecurity=False).hexdigest()
    lock = {"stages": {"predict": {"outs": [{"path": "artifacts/predictions.csv", "md5": digest}]}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    assert noted_and_loaded() == 0
    assert Path("artifacts/predictions.csv").read_text() == "of a run"
    assert [path.read_text() for path in Path("artifacts/training/kept").iterdir()] == ["mine"]
    Path("artifacts/training/state").mkdir()
    own.write_text("of an interrupted run")
    assert noted_and_loaded() == 0
    assert own.is_file()
