"""A model worse than the registered one stays outside, unless told to; what cannot be compared is said by name."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import bentoml
import pytest

from dataset.manifest import Manifest
from evaluation.predictions import Predictions
from export import register as entry_point
from export.gate import Gate, GateError
from export.measured_model import find_measured_model
from export.register import Sources, register
from export.same_data import kinship
from runtime.model.contract import Lineage
from tests.bentoml_home import bentoml_home
from tests.export.gate_settings import gate
from tests.onnx_fixture import TinyData, card_text, tiny_contract, write_sources, write_tiny_model


@pytest.fixture(autouse=True)
def _home(tmp_path: Path) -> Iterator[None]:
    with bentoml_home(tmp_path / "home"):
        yield


def newest() -> bentoml.Model:
    return bentoml.models.get("vision-classifier:latest")


def make_wrong(sources: Sources, label: str, number: int) -> None:
    """Change what the model said of the first test pictures of a class."""
    read = Predictions.read(sources.predictions)
    wanted = (read.splits == "test") & (read.labels == read.classes.index(label))
    probs = read.probs.copy()
    for row in wanted.nonzero()[0][:number]:
        probs[row] = probs[row][::-1] if label != "green" else [0.8, 0.1, 0.1]
    replace(read, probs=probs).write(sources.predictions)


def test_a_worse_model_is_refused_with_the_figures_and_the_page(tmp_path: Path) -> None:
    first = register(write_sources(tmp_path / "old"), gate(tmp_path))
    worse = write_sources(tmp_path / "new", scale=4.0, confused=True)
    with pytest.raises(
        GateError, match=r"recall of green falls from 1\.000 to 0\.000 \(by more than 0\.05\)"
    ) as refused:
        register(worse, gate(tmp_path))
    assert "macro-F1 falls from 1.000 to 0.556" in str(refused.value)
    assert f"worse than {first.model} on the same 12 test pictures" in str(refused.value)
    assert "--accept-worse" in str(refused.value)
    assert str(newest().tag) == first.model
    page = (tmp_path / "comparison/comparison.html").read_text(encoding="utf-8")
    assert f"Worse than {first.model}" in page
    assert page.count("data:image/jpeg") == 4  # every green test picture


def test_one_class_alone_is_reason_enough(tmp_path: Path) -> None:
    """One picture of twelve: macro-F1 falls by 0.08, so the margin on it is opened to show that recall has its own."""
    register(write_sources(tmp_path / "old"), gate(tmp_path))
    worse = write_sources(tmp_path / "new", scale=4.0)
    make_wrong(worse, "red", 1)
    wide = gate(tmp_path)
    wide = replace(wide, margins=wide.margins.model_copy(update={"max_macro_f1_drop": 0.5}))
    with pytest.raises(
        GateError, match=r"pictures: recall of red falls from 1\.000 to 0\.750 \(by more than 0\.05\)\. Every"
    ):
        register(worse, wide)
    at_the_margin = replace(wide, margins=wide.margins.model_copy(update={"max_recall_drop": 0.25}))
    assert register(worse, at_the_margin).is_new


def test_told_to_the_worse_model_is_taken_and_the_reason_recorded(tmp_path: Path) -> None:
    first = register(write_sources(tmp_path / "old"), gate(tmp_path))
    worse = write_sources(tmp_path / "new", confused=True)
    register(worse, gate(tmp_path, "green tiles are no longer made"))
    assert newest().info.labels["accepted_worse"] == "green tiles are no longer made"
    assert newest().info.labels["gate"] == f"worse than {first.model}"


def test_a_model_as_good_passes_and_says_against_what(tmp_path: Path) -> None:
    first = register(write_sources(tmp_path / "old"), gate(tmp_path))
    register(write_sources(tmp_path / "new", scale=4.0), gate(tmp_path, "a reason that is not needed"))
    labels = newest().info.labels
    assert labels["gate"] == f"no worse than {first.model} on 12 test pictures"
    assert "accepted_worse" not in labels


def test_a_model_of_other_data_is_the_first_of_its_own(tmp_path: Path) -> None:
    register(write_sources(tmp_path / "old"), gate(tmp_path))
    register(write_sources(tmp_path / "other", confused=True, data=TinyData("other", first=50)), gate(tmp_path))
    assert newest().info.labels["gate"] == "first model of the data other: there is none to compare with"
    with pytest.raises(GateError, match="recall of green falls"):  # the older model of its own data is still found
        register(write_sources(tmp_path / "again", confused=True), gate(tmp_path))


def test_the_same_pictures_under_another_folders_name_are_compared(tmp_path: Path) -> None:
    first = register(write_sources(tmp_path / "old", data=TinyData("march")), gate(tmp_path))
    with pytest.raises(GateError, match="recall of green falls") as refused:
        register(write_sources(tmp_path / "new", confused=True, data=TinyData("april")), gate(tmp_path))
    assert (
        f"compared with {first.model} because 24 of 24 pictures are in its data with the same label"
        in str(refused.value)
    )  # fmt: skip


def test_other_pictures_under_the_same_folders_name_are_another_data_set_and_it_is_said(tmp_path: Path) -> None:
    first = register(write_sources(tmp_path / "old", data=TinyData("images")), gate(tmp_path))
    register(write_sources(tmp_path / "new", confused=True, data=TinyData("images", first=50)), gate(tmp_path))
    assert newest().info.labels["gate_reason"] == (
        f"compared with none because of 1 registered none is of this data, the newest being {first.model}: 0 of "
        "24 pictures are in its data with the same label, though both are called 'images'"
    )


def test_a_data_set_that_has_mostly_moved_on_is_still_the_same(tmp_path: Path) -> None:
    """One object of four is left of the old data; the old graph, which confuses nothing, is asked about the others."""
    register(write_sources(tmp_path / "old", data=TinyData("march")), gate(tmp_path))
    moved_on = TinyData("april", splits=("train", "val", "test", "test"), first=3)
    with pytest.raises(GateError, match=r"on the same 12 test pictures: .* because 6 of 24 pictures"):
        register(write_sources(tmp_path / "new", confused=True, data=moved_on), gate(tmp_path))


def test_pictures_that_were_added_are_compared_and_the_page_says_which_data_each_model_saw(tmp_path: Path) -> None:
    """Old objects keep their sides, so that the old graph is asked about all test pictures, old and new."""
    first = register(write_sources(tmp_path / "old"), gate(tmp_path))
    grown = TinyData(splits=("train", "val", "test", "test", "train", "test"))
    register(write_sources(tmp_path / "new", scale=4.0, data=grown), gate(tmp_path))
    assert newest().info.labels["gate"] == f"no worse than {first.model} on 18 test pictures"
    page = (tmp_path / "comparison/comparison.html").read_text(encoding="utf-8")
    assert f"{first.model} saw data (" in page
    assert "36 pictures), of which 12 new, no picture on another side than before. It was asked again about" in page


def with_task(folder: Path, task: str) -> Gate:
    plain = gate(folder)
    return replace(plain, margins=plain.margins.model_copy(update={"task": task}))


def test_a_stated_task_decides_whatever_the_pictures_are(tmp_path: Path) -> None:
    first = register(write_sources(tmp_path / "old"), with_task(tmp_path, "colours of tiles"))
    assert newest().info.labels["task"] == "colours of tiles"
    renewed = write_sources(tmp_path / "new", confused=True, data=TinyData("other", first=50))
    with pytest.raises(GateError, match=f"compared with {first.model} because gate.task is 'colours of tiles'"):
        register(renewed, with_task(tmp_path, "colours of tiles"))
    same_pictures = write_sources(tmp_path / "twin", confused=True)
    register(same_pictures, with_task(tmp_path, "colours of cups"))
    assert "is 'colours of cups' here and 'colours of tiles' there" in newest().info.labels["gate_reason"]


def test_a_task_that_only_one_states_leaves_it_to_the_pictures(tmp_path: Path) -> None:
    register(write_sources(tmp_path / "old"), gate(tmp_path))
    with pytest.raises(GateError, match="because 24 of 24 pictures"):
        register(write_sources(tmp_path / "new", confused=True), with_task(tmp_path, "colours"))


def test_pictures_that_carry_other_labels_here_are_another_task(tmp_path: Path) -> None:
    first = register(write_sources(tmp_path / "old"), gate(tmp_path))
    measured = find_measured_model(first.model)
    assert measured is not None
    table = measured.manifest.table.assign(label=measured.manifest.table["label"] + "-wood")
    other = replace(measured, manifest=Manifest(table, measured.manifest.root))
    assert not kinship(other, measured).is_same
    table.loc[:2, "label"] = measured.manifest.table.loc[:2, "label"]  # 3 of 24 are more than a tenth
    assert kinship(other, measured).is_same
    table.loc[:0, "label"] = "wood"
    assert not kinship(other, measured).is_same


TWO = TinyData(classes=("red", "green"))


def test_a_model_of_some_of_the_classes_is_for_another_task_and_has_its_own_reference(tmp_path: Path) -> None:
    three = register(write_sources(tmp_path / "three"), gate(tmp_path))
    register(write_sources(tmp_path / "two", data=TWO), gate(tmp_path))
    two = newest()
    assert two.info.labels["gate_reason"] == (
        f"compared with none because of 1 registered none is of this data, the newest being {three.model}: 16 of "
        "16 pictures are in its data with the same label, but it knows blue, which this model does not: another task"
    )
    register(write_sources(tmp_path / "three again", scale=4.0), gate(tmp_path))
    assert newest().info.labels["gate"] == f"no worse than {three.model} on 12 test pictures"
    worse = write_sources(tmp_path / "worse", scale=2.0, data=TWO)
    make_wrong(worse, "red", 1)
    with pytest.raises(GateError, match=f"worse than {two.tag} .*: macro-F1 falls .*; recall of red falls"):
        register(worse, gate(tmp_path))


def test_a_model_with_a_class_more_must_still_know_the_others(tmp_path: Path) -> None:
    """Answers of the new class count as lost; macro-F1, which one such answer changes by a class, does not decide."""
    first = register(write_sources(tmp_path / "old", data=TWO), gate(tmp_path))
    with pytest.raises(
        GateError, match=r"8 test pictures: recall of green falls from 1\.000 to 0\.000 .* not know blue"
    ):
        register(write_sources(tmp_path / "new", confused=True), gate(tmp_path))
    assert "does not know blue: pictures of these" in (tmp_path / "comparison/comparison.html").read_text("utf-8")
    one_lost = write_sources(tmp_path / "nearly", scale=4.0)
    make_wrong(one_lost, "red", 1)
    plain = gate(tmp_path)
    register(one_lost, replace(plain, margins=plain.margins.model_copy(update={"max_recall_drop": 0.25})))
    assert newest().info.labels["gate"] == f"no worse than {first.model} on 8 test pictures"


def test_a_class_that_is_lost_from_a_stated_task_is_refused(tmp_path: Path) -> None:
    first = register(write_sources(tmp_path / "old"), with_task(tmp_path, "colours"))
    two = write_sources(tmp_path / "new", data=TWO)
    with pytest.raises(GateError, match=f"{first.model} knows blue, which this model does not"):
        register(two, with_task(tmp_path, "colours"))
    register(two, with_task(tmp_path, "warm colours"))
    assert "is 'warm colours' here and 'colours' there" in newest().info.labels["gate_reason"]


def test_with_new_pictures_the_registered_graph_is_asked_again(tmp_path: Path) -> None:
    """The new model's stored answers are perfect; the old graph confuses, which only its graph can tell."""
    register(write_sources(tmp_path / "old", confused=True), gate(tmp_path))
    more = TinyData(splits=("train", "val", "test", "test", "test"))
    register(write_sources(tmp_path / "new", data=more), gate(tmp_path))
    text = (tmp_path / "comparison/comparison.html").read_text(encoding="utf-8")
    assert "The data or their split changed" in text
    assert "Changed for the better: 6" in text
    with pytest.raises(GateError, match="on the same 18 test pictures"):
        register(write_sources(tmp_path / "worse", data=more, confused=True), gate(tmp_path))


def test_pictures_that_the_registered_model_was_trained_or_chosen_on_do_not_count(tmp_path: Path) -> None:
    register(write_sources(tmp_path / "old"), gate(tmp_path))
    moved = TinyData(splits=("test", "test", "train", "test", "val"))
    register(write_sources(tmp_path / "new", data=moved), gate(tmp_path))
    assert newest().info.labels["gate"].endswith("on 6 test pictures")
    text = (tmp_path / "comparison/comparison.html").read_text(encoding="utf-8")
    assert "6 of 18 test pictures whose groups it was neither trained nor chosen on" in text


def test_a_split_that_leaves_no_fair_picture_is_refused_by_class(tmp_path: Path) -> None:
    first = register(write_sources(tmp_path / "old"), gate(tmp_path))
    swapped = write_sources(tmp_path / "new", data=TinyData(splits=("test", "test", "val", "train")))
    with pytest.raises(GateError, match=rf"{first.model} was trained: .* every test picture of red, green, blue"):
        register(swapped, gate(tmp_path))
    register(swapped, gate(tmp_path, "the split changed"))
    assert newest().info.labels["gate"] == f"not comparable with {first.model}"


def test_a_test_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    register(write_sources(tmp_path / "old"), gate(tmp_path))
    changed = write_sources(tmp_path / "new", data=TinyData(splits=("train", "val", "test", "test", "test")))
    (changed.data_dir / "pictures/red2_1.png").unlink()
    with pytest.raises(GateError, match=r"cannot read the picture .*red2_1\.png"):
        register(changed, gate(tmp_path))


def test_predictions_of_another_run_are_refused(tmp_path: Path) -> None:
    sources = write_sources(tmp_path)
    table = Manifest.read(sources.data_dir / "manifest.csv").table
    table.loc[table["path"] == "pictures/red2_1.png", "split"] = "train"
    Manifest(table, sources.data_dir).write(sources.data_dir / "manifest.csv")
    with pytest.raises(entry_point.RegistrationError, match="not of the manifest's test images"):
        register(sources, gate(tmp_path))


def test_a_manifest_that_the_model_was_not_trained_on_is_refused(tmp_path: Path) -> None:
    sources = write_sources(tmp_path)
    contract = tiny_contract().model_copy(update={"lineage": Lineage(data_sha256="f" * 64)})
    write_tiny_model(sources.export_dir, contract)
    sources.card.write_text(card_text(sources.export_dir / "model.onnx"))
    with pytest.raises(entry_point.RegistrationError, match="the model was trained on data ffffffffffff"):
        register(sources, gate(tmp_path))


def test_the_command_refuses_with_status_2_and_takes_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def arguments(sources: Sources) -> list[str]:
        paths = {"checkpoint": sources.checkpoint, "export": sources.export_dir, "evaluation": sources.evaluation_dir}
        paths |= {"card": sources.card, "predictions": sources.predictions, "data": sources.data_dir}
        paths |= {"review": sources.review_dir, "comparison": tmp_path / "comparison"}
        return [part for name, path in paths.items() for part in (f"--{name}", str(path))]

    assert entry_point.main(arguments(write_sources(tmp_path / "old"))) == 0
    assert "gate: first model of the data colours" in capsys.readouterr().out
    worse = arguments(write_sources(tmp_path / "new", confused=True))
    assert entry_point.main(worse) == 2
    assert capsys.readouterr().err.startswith("cannot register: the model is worse than vision-classifier:")
    assert entry_point.main([*worse, "--accept-worse", "on purpose"]) == 0
    assert "accepted, because: on purpose" in capsys.readouterr().out
