"""Pictures that come later: what was divided before stays where it was, and new objects come near the shares."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest, ManifestError
from dataset.outputs.replacing import alone
from dataset.params import SplitParams
from dataset.split import main, split
from dataset.splits import assign_splits
from dataset.splitting.divide import number_folds
from dataset.splitting.memory import SIDES_CSV, Memory, forget
from dataset.splitting.versions import Versions
from dataset.stage import run

REPOSITORY = Path(__file__).parents[3]
PARAMS = SplitParams(seed=0, num_folds=5, test_fold=0)
SIZES = {"Free": 40, "Blowhole": 13, "Crack": 6, "Fray": 5}
ORDER = ["path", "sha256", "label", "group"]


def rows(label: str, objects: range, shots: range = range(3)) -> pd.DataFrame:
    """Pictures of one class; a picture's file is told by its object and shot."""
    cells = [
        (f"{label}/{g}_{s}.png", label, f"{label}{g}", "", "", f"{label}-{g}-{s}", 8, 8, "")
        for g in objects
        for s in shots
    ]
    return pd.DataFrame(cells, columns=COLUMNS)


BEFORE = pd.concat([rows(label, range(number)) for label, number in SIZES.items()], ignore_index=True)
ADDED = pd.concat([BEFORE, *(rows(label, range(n, n + 2)) for label, n in SIZES.items())], ignore_index=True)


def divided(data_dir: Path, table: pd.DataFrame, params: SplitParams = PARAMS, likeness: str = "") -> pd.DataFrame:
    """Divide as `make data` does, and return the manifest by file."""
    description = DataDescription(name="n", title="t", summary="s", group_meaning="g", likeness=likeness)
    description.write(data_dir)
    split(Manifest(table, data_dir), data_dir / "manifest.csv", params)
    return Manifest.read(data_dir / "manifest.csv").table.set_index("sha256")


def moved(before: pd.DataFrame, after: pd.DataFrame, column: str = "split") -> int:
    common = before.index.intersection(after.index)
    return int((before.loc[common, column] != after.loc[common, column]).sum())


def test_from_nothing_it_is_the_split_of_before_to_the_byte(tmp_path: Path) -> None:
    divided(tmp_path, BEFORE)
    expected = assign_splits(BEFORE, PARAMS).to_csv(index=False)
    assert (tmp_path / "manifest.csv").read_text() == expected
    divided(tmp_path, BEFORE)  # and so the second time
    assert (tmp_path / "manifest.csv").read_text() == expected
    assert Versions.read(tmp_path).newest == 1


def test_pictures_of_new_objects_move_no_old_one_on_any_protocol(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE)
    after = divided(tmp_path, ADDED)
    assert len(after) == len(ADDED)
    assert moved(before, after) == moved(before, after, "split_by_image") == 0
    anew = assign_splits(ADDED, PARAMS).set_index("sha256")
    assert moved(before, anew) > 0.1 * len(before), "otherwise this proves nothing"


def test_after_many_rounds_the_shares_are_near_the_stated_ones_in_every_class(tmp_path: Path) -> None:
    table = BEFORE
    for step in range(8):
        table = pd.concat([table, *(rows(label, range(100 + step * 3, 103 + step * 3)) for label in SIZES)])
        result = divided(tmp_path, table)
    objects = result.drop_duplicates("group")
    for label, members in objects.groupby("label"):
        for side, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
            assert (members["split"] == side).sum() == pytest.approx(share * len(members), abs=1.01), (label, side)
    assert Versions.read(tmp_path).newest == 8


def test_a_new_picture_of_an_old_object_joins_its_side(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE)
    more = pd.concat([BEFORE, *(rows(label, range(number), range(3, 4)) for label, number in SIZES.items())])
    after = divided(tmp_path, more)
    side_of = before.groupby("group")["split"].first()
    assert (after["split"] == after["group"].map(side_of)).all()


def test_groups_of_likeness_are_known_by_their_files_whatever_they_are_called(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE, likeness="found")
    renumbered = ADDED.assign(
        group="x" + ADDED["group"].map({g: str(i) for i, g in enumerate(reversed(ADDED["group"]))})
    )
    assert moved(before, divided(tmp_path, renumbered, likeness="found")) == 0


def test_a_picture_of_another_content_or_name_keeps_its_side(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE)
    changed = BEFORE.copy()
    in_test = before.index[before["split"] == "test"][0]
    row = changed.index[changed["sha256"] == in_test][0]
    alone = changed["group"] == changed.loc[row, "group"]
    changed.loc[alone, "sha256"] += "-retouched"
    changed.loc[alone, "group"] = "renamed"
    changed.loc[~alone, "path"] = "moved/" + changed.loc[~alone, "path"]
    after = divided(tmp_path, changed)
    assert moved(before, after) == 0
    assert set(after.loc[after["group"] == "renamed", "split"]) == {"test"}
    assert Versions.read(tmp_path).all[-1].changed == alone.sum()


def test_what_is_gone_comes_back_to_its_side(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE)
    fewer = BEFORE[~BEFORE["group"].isin([f"Free{i}" for i in range(20)])]
    divided(tmp_path, fewer)
    assert Versions.read(tmp_path).all[-1].gone == 60
    divided(tmp_path, pd.concat([fewer, rows("Free", range(50, 60))]))
    assert moved(before, divided(tmp_path, ADDED)) == 0


def test_other_data_between_leave_the_memory_and_are_divided_from_nothing(tmp_path: Path) -> None:
    before = divided(tmp_path, ADDED)
    other = BEFORE.assign(sha256="other-" + BEFORE["sha256"])  # under the same names
    assert divided(tmp_path, other)["split"].tolist() == assign_splits(other, PARAMS)["split"].tolist()
    assert moved(before, divided(tmp_path, ADDED)) == 0


def test_other_data_under_the_same_names_are_said_to_be_others(tmp_path: Path) -> None:
    divided(tmp_path, BEFORE)
    few = BEFORE["group"].isin(["Free0", "Free1", "Free2"])
    other = BEFORE.assign(sha256=BEFORE["sha256"].where(few, "other-" + BEFORE["sha256"]))
    told = split(Manifest(other, tmp_path), tmp_path / "manifest.csv", PARAMS)
    assert "less than 10% of the files are those of the version before, so these are other data" in told
    assert "less than" not in split(Manifest(other, tmp_path), tmp_path / "manifest.csv", PARAMS)


def test_a_name_says_nothing_once_its_file_has_another_name(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE, likeness="found")
    tested, trained = (before[before["split"] == side].iloc[0] for side in ("test", "train"))
    table = BEFORE.copy()
    table.loc[table["path"] == tested["path"], "path"] = "renumbered.png"
    new = rows("Free", range(90, 91), range(1)).assign(path=tested["path"], group=trained["group"])
    after = divided(tmp_path, pd.concat([table, new], ignore_index=True), likeness="found")
    assert moved(before, after) == 0
    assert after.loc["Free-90-0", "split"] == "train"


def test_killed_between_its_two_files_it_remembers_the_version_before(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE)
    sides = (tmp_path / SIDES_CSV).read_bytes()
    in_test = before[before["split"] == "test"]["group"].iloc[0]
    retouched = ADDED.copy()
    retouched.loc[retouched["group"] == in_test, "sha256"] += "-retouched"
    retouched.loc[retouched["group"] == in_test, "group"] = "renamed"
    once = divided(tmp_path, retouched)
    (tmp_path / SIDES_CSV).write_bytes(sides)  # the second file was not reached
    again = divided(tmp_path, retouched)
    assert again["split"].equals(once["split"])
    assert set(again.loc[again["group"] == "renamed", "split"]) == {"test"}
    assert [one.number for one in Versions.read(tmp_path).all] == [1, 2]
    other = SplitParams(seed=1, num_folds=5, test_fold=0)
    sides = (tmp_path / SIDES_CSV).read_bytes()
    divided(tmp_path, ADDED, other)
    (tmp_path / SIDES_CSV).write_bytes(sides)
    assert divided(tmp_path, ADDED, other)["split"].tolist() == assign_splits(ADDED, other)["split"].tolist()


def joined(before: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, str]]:
    """A new picture that looks like an object of training and like one of test."""
    train = before[(before["split"] == "train") & (before["label"] == "Free")]["group"].iloc[0]
    test = before[(before["split"] == "test") & (before["label"] == "Free")]["group"].iloc[0]
    bridge = rows("Free", range(90, 91), range(1)).assign(group=train)
    return pd.concat([BEFORE.replace({"group": {test: train}}), bridge], ignore_index=True), (train, test)


def test_a_picture_that_joins_objects_of_two_sides_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = divided(tmp_path, BEFORE, likeness="found")
    table, (train, _) = joined(before)
    after = divided(tmp_path, table, likeness="found")
    assert moved(before, after) == 0
    assert "Free-90-0" not in after.index
    assert {f"{train}-train", f"{train}-test"} <= set(after["group"])
    assert Versions.read(tmp_path).all[-1].left_out == ("Free/90_0.png",)
    Manifest(table, tmp_path).write(tmp_path / "pictures.csv")
    (tmp_path / "params.yaml").write_text("split: {seed: 0, num_folds: 5, test_fold: 0}\n")
    arguments = ["--pictures", tmp_path / "pictures.csv", "--out", tmp_path / "manifest.csv"]
    assert main([*map(str, arguments), "--params", str(tmp_path / "params.yaml")]) == 0
    assert "1 picture(s) are left out of training, validation and test" in (told := capsys.readouterr().out)
    assert "Free/90_0.png" in told
    assert "Free-90-0" not in divided(tmp_path, table, likeness="found").index  # and so from then on


def test_a_picture_that_joins_two_of_three_objects_is_left_out_and_the_three_stay(tmp_path: Path) -> None:
    table = pd.concat([BEFORE, rows("Uneven", range(3))], ignore_index=True)
    before = divided(tmp_path, table, likeness="found")
    bridge = rows("Uneven", range(9, 10), range(1)).assign(group="Uneven0")
    joined_two = pd.concat([table.replace({"group": {"Uneven1": "Uneven0"}}), bridge], ignore_index=True)
    after = divided(tmp_path, joined_two, likeness="found")
    assert moved(before, after) == 0
    assert "Uneven-9-0" not in after.index
    assert set(after.loc[after["label"] == "Uneven", "split"]) == {"train", "val", "test"}


def test_stated_objects_that_lie_on_two_sides_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE)
    table, (train, _) = joined(before)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ManifestError, match=rf"groups file says .* two sides .*: {train} \(Free/.*SPLIT=new"):
        divided(tmp_path, table)
    assert files == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_likeness_that_joins_old_pictures_alone_is_refused(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE, likeness="found")
    table, _ = joined(before)
    with pytest.raises(ManifestError, match=r"near_duplicate_correlation, says .*SPLIT=new"):
        divided(tmp_path, table[table["sha256"] != "Free-90-0"], likeness="found")


def test_a_class_that_lost_its_test_objects_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE)
    lost = set(before.loc[(before["label"] == "Crack") & (before["split"] == "test"), "group"])
    with pytest.raises(ManifestError, match=r"Crack is missing in test.*keeps its side.*SPLIT=new"):
        divided(tmp_path, BEFORE[~BEFORE["group"].isin(lost)])
    added = pd.concat([BEFORE[~BEFORE["group"].isin(lost)], rows("Crack", range(50, 51))])
    after = divided(tmp_path, added)
    assert set(after.loc[after["group"] == "Crack50", "split"]) == {"test"}


def test_a_new_class_of_three_objects_is_on_every_side(tmp_path: Path) -> None:
    divided(tmp_path, BEFORE)
    after = divided(tmp_path, pd.concat([ADDED, rows("Uneven", range(3)), rows("Break", range(4))]))
    for label, number in (("Uneven", 1), ("Break", 2)):
        sides = after[after["label"] == label].drop_duplicates("group")["split"].value_counts()
        assert sides.to_dict() == {"train": number, "val": 1, "test": 1}


def test_other_settings_and_a_forgotten_memory_divide_anew(tmp_path: Path) -> None:
    divided(tmp_path, BEFORE)
    divided(tmp_path, ADDED)
    other = SplitParams(seed=1, num_folds=5, test_fold=0)
    assert divided(tmp_path, ADDED, other)["split"].tolist() == assign_splits(ADDED, other)["split"].tolist()
    divided(tmp_path, BEFORE)
    grown = divided(tmp_path, ADDED)
    kept = {path.name.split("-")[0]: path for path in forget(tmp_path)}
    assert kept.keys() == {"sides", "manifest"}
    assert divided(tmp_path, ADDED)["split"].tolist() == assign_splits(ADDED, PARAMS)["split"].tolist()
    assert Versions.read(tmp_path).all[-1].is_dealt_anew
    kept["sides"].rename(tmp_path / SIDES_CSV)
    assert moved(grown, divided(tmp_path, ADDED)) == 0, "moved back, it counts again"


def test_what_changes_sides_is_named_and_the_sides_before_are_kept(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE)
    files = {name: (tmp_path / name).read_bytes() for name in (SIDES_CSV, "manifest.csv")}
    other = SplitParams(seed=1, num_folds=5, test_fold=0)
    told = split(Manifest(BEFORE, tmp_path), tmp_path / "manifest.csv", other)
    after = Manifest.read(tmp_path / "manifest.csv").table.set_index("sha256")
    assert f"{moved(before, after)} picture(s) are on another side than before: " in told
    assert {path.name.split("-")[0]: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == {
        Path(name).stem: content for name, content in files.items()
    }
    split(Manifest(BEFORE, tmp_path), tmp_path / "manifest.csv", PARAMS)
    assert len(list((tmp_path / "kept").iterdir())) == 4, "a second copy within the second replaces none"


def test_a_manifest_of_other_settings_and_no_memory_is_kept_and_what_moves_is_named(tmp_path: Path) -> None:
    assign_splits(BEFORE, SplitParams(seed=1, num_folds=5, test_fold=0)).to_csv(tmp_path / "manifest.csv", index=False)
    earlier = (tmp_path / "manifest.csv").read_bytes()
    told = split(Manifest(BEFORE, tmp_path), tmp_path / "manifest.csv", PARAMS)
    assert "picture(s) are on another side than before: " in told
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == earlier
    assert str(kept) in told


def test_without_sides_csv_the_manifest_of_the_newest_version_is_the_memory(tmp_path: Path) -> None:
    divided(tmp_path, BEFORE)
    before = divided(tmp_path, ADDED)
    assert moved(before, assign_splits(ADDED, PARAMS).set_index("sha256")), "it is not what is dealt from nothing"
    (tmp_path / SIDES_CSV).unlink()
    assert moved(before, divided(tmp_path, ADDED)) == 0
    assert Versions.read(tmp_path).newest == 2


def test_without_versions_json_the_numbers_go_on(tmp_path: Path) -> None:
    divided(tmp_path, BEFORE)
    before = divided(tmp_path, ADDED)
    (tmp_path / "versions.json").unlink()
    assert moved(before, divided(tmp_path, BEFORE)) == 0
    (version,) = Versions.read(tmp_path).all
    assert (version.number, version.gone) == (3, 24)


def test_while_another_run_holds_the_data_nothing_is_divided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Manifest(BEFORE, tmp_path).write(tmp_path / "pictures.csv")
    with alone(tmp_path):
        assert main(["--pictures", str(tmp_path / "pictures.csv"), "--out", str(tmp_path / "manifest.csv")]) == 2
    assert "another run is loading or dividing the pictures" in capsys.readouterr().err
    assert not (tmp_path / "manifest.csv").exists()


def test_a_manifest_of_before_sides_were_remembered_is_remembered(tmp_path: Path) -> None:
    before = divided(tmp_path, BEFORE)
    (tmp_path / SIDES_CSV).unlink()
    (tmp_path / "versions.json").unlink()
    assert moved(before, divided(tmp_path, ADDED)) == 0
    assert [(one.number, one.new) for one in Versions.read(tmp_path).all] == [(1, 0), (2, 24)]


def test_folds_keep_their_objects_too(tmp_path: Path) -> None:
    def folds(table: pd.DataFrame) -> "pd.Series[int]":
        memory = Memory.read(tmp_path, PARAMS)
        assert memory
        pictures = table.sort_values("path", ignore_index=True)
        recalled = memory.recall(pictures, has_stated_groups=True)
        return pd.Series(number_folds(pictures, PARAMS, recalled), index=pictures["sha256"])

    divided(tmp_path, BEFORE)
    before, after = folds(BEFORE), folds(ADDED)
    assert (after[before.index] == before).all()
    assert np.bincount(after.to_numpy()).min() >= 0.9 * len(ADDED) / 5
    divided(tmp_path, ADDED)
    assert (folds(ADDED) == after).all()


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda text: text.replace(",train,", ",trian,", 1), r"sides\.csv, line \d+: split is 'trian'"),
        (lambda text: text.replace("fold", "part", 1), r"sides\.csv has no column fold"),
        (lambda text: f"{text}a.png,abc,Free,,train,train\n", r"sides\.csv, line \d+: fold is '', no whole number"),
    ],
)
def test_a_memory_that_is_malformed_is_refused_with_its_line(
    tmp_path: Path, edit: Callable[[str], str], problem: str
) -> None:
    divided(tmp_path, BEFORE)
    (tmp_path / SIDES_CSV).write_text(edit((tmp_path / SIDES_CSV).read_text()))
    with pytest.raises(ManifestError, match=problem):
        divided(tmp_path, ADDED)


def test_the_stage_finds_what_it_wrote_and_copies_what_a_person_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.delitem(sys.modules, "dataset.split")  # a stage runs it as a program
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    (tmp_path / "params.yaml").write_text("split: {seed: 0, num_folds: 5, test_fold: 0}\n")
    (data_dir := tmp_path / "data").mkdir()
    sides = []
    for table in (BEFORE, ADDED):
        Manifest(table, data_dir).write(data_dir / "pictures.csv")
        assert run("dataset.split", []) == 0
        sides.append(Manifest.read(data_dir / "manifest.csv").table.set_index("sha256"))
        assert not (data_dir / "kept").exists()
    assert moved(sides[0], sides[1]) == 0
    by_hand = (data_dir / SIDES_CSV).read_text().replace("Free/0_0.png,", "Free/zero.png,")
    (data_dir / SIDES_CSV).write_text(by_hand)
    assert run("dataset.split", []) == 0
    (copy,) = (data_dir / "kept").glob("sides.csv-*/sides.csv")
    assert copy.read_text() == by_hand
    assert "Free/zero.png" in (data_dir / SIDES_CSV).read_text(), "it was read"
