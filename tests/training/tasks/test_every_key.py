"""Every key of `params.yaml` that training reads holds for every task, or is refused by name: none is ignored.

Each key is changed once in a tiny run. What the run computes must then differ, or the error must name the key. A key
that is new in `params.yaml` or in the code fails here until a change of it is given.
"""

import copy
import hashlib
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import pytest
import torch
import yaml
from torch import nn

from dataset.manifest import Manifest
from project.params import Section
from runtime.model.contract import Task
from training import fit
from training.batch_params import AugmentParams
from training.engine_params import PhaseParams
from training.params import ContractParams, ModelParams, Params, TrainParams
from training.run import run_control
from training.run.checkpoint import Checkpoint
from training.run.run_control import RunControl
from training.run.step import Learner
from training.task_params import OWN_SECTIONS
from training.tasks.keys_of_classes import OFF

REPOSITORY = Path(__file__).parents[3]
# A classifier of crops is trained as one of pictures is: its section is one of the cutting, and of keys of others.
OF_TASKS: dict[str, type[Section]] = {
    name: kind for role, (name, kind) in OWN_SECTIONS.items() if role != "crop-classification"
}
TIMED = ("images_per_s", "data_wait_share")
# key -> its changed value, and what must be set beside it to matter at all, before and after
Change = tuple[Any, dict[str, Any]]
CHANGES: dict[str, Change] = {
    "contract.height": (96, {}),
    "contract.width": (96, {}),
    "contract.resize": ("crop", {"contract.width": 32}),
    "contract.interpolation": ("bicubic", {}),
    "contract.max_value": (255, {}),
    "model.backbone": ("test_efficientnet", {}),
    "model.pretrained": ("hub", {}),
    "model.drop_rate": (0.5, {}),
    "model.drop_path_rate": (0.5, {}),
    "train.seed": (1, {}),
    "train.batch_size": (4, {}),
    "train.weight_decay": (0.5, {}),
    "train.accumulation": (2, {}),
    "train.clip_grad_norm": (0.01, {}),
    "train.ema_decay": (0.9, {}),
    "train.early_stopping_epochs": (1, {"train.phases.0.lr": 1e-12, "train.phases.0.epochs": 3}),
    "train.precision": ("bf16", {}),
    "train.channels_last": (False, {}),
    "train.compile": (True, {}),
    "train.deterministic": (False, {}),
    "train.sampling": ("balanced", {}),
    "train.cache": (True, {}),
    "train.cache_max_gib": (1e-6, {"train.cache": True}),
    "train.loss": ("binary_cross_entropy", {}),
    "train.label_smoothing": (0.3, {}),
    "train.focal_gamma": (1.0, {"train.loss": "focal"}),
    "train.class_weighting": ("effective_number", {}),
    "train.class_weight_power": (1.0, {}),
    "train.effective_number_beta": (0.5, {"train.class_weighting": "effective_number"}),
    "augment.flip": (False, {}),
    "augment.crop_min_area": (0.3, {}),
    "augment.crop_max_aspect": (2.0, {"augment.crop_min_area": 0.3}),
    "augment.rotate_degrees": (30, {}),
    "augment.scale": (0.3, {}),
    "augment.translate": (0.3, {}),
    "augment.shear_degrees": (20, {}),
    "augment.exposure_stops": (1, {}),
    "augment.gamma": (2, {}),
    "augment.brightness": (0.5, {}),
    "augment.contrast": (0.5, {}),
    "augment.randaugment_num_ops": (2, {}),
    "augment.randaugment_magnitude": (1, {"augment.randaugment_num_ops": 3}),
    "augment.erasing_probability": (1, {}),
    "augment.erasing_max_area": (0.5, {"augment.erasing_probability": 1}),
    "augment.mixup_alpha": (0.4, {}),
    "augment.cutmix_alpha": (0.4, {}),
    "augment.mix_probability": (0.1, {"augment.mixup_alpha": 0.4}),
    "augment.off_last_epochs": (1, {}),
    "train.phases.0.trainable": ("last_blocks(1)", {}),
    "train.phases.0.epochs": (1, {}),
    "train.phases.0.steps": (3, {"train.phases.0.epochs": None}),
    "train.phases.0.lr": (0.1, {}),
    "train.phases.0.backbone_lr_scale": (0.1, {}),
    "train.phases.0.layer_decay": (0.1, {}),
    "train.phases.0.schedule": ("one_cycle", {}),
    "train.phases.0.warm_up": (0.9, {}),
    "train.phases.0.view": (0.5, {}),
    "segmentation.regions": ("merged", {}),
    "segmentation.merged_name": ("mark", {"segmentation.regions": "merged"}),
    "segmentation.channels": (4, {}),
    "segmentation.coarsest_stride": (16, {}),
    "segmentation.cross_entropy_weight": (0.3, {}),
    "segmentation.dice_weight": (0.3, {}),
    "segmentation.focal_gamma": (2.0, {}),
    "segmentation.boundary_weight": (5.0, {}),
    "segmentation.defect_weight": (9.0, {}),
    "segmentation.loss_at": ("pixels", {}),
    "segmentation.defect_view_share": (0.0, {"train.phases.0.view": 0.5}),
    "segmentation.gain_stops": (1.0, {}),
    "segmentation.gamma": (0.5, {}),
    "segmentation.readout_c": (0.01, {}),
    "segmentation.threshold": (0.123, {}),
    "segmentation.min_region_px": (77, {}),
    "detection.objects": ("merged", {}),
    "detection.merged_name": ("mark", {"detection.objects": "merged"}),
    "detection.max_boxes": (7, {}),
    "detection.channels": (4, {}),
    "detection.coarsest_stride": (16, {}),
    "detection.box_loss": ("smooth_l1", {}),
    "detection.box_weight": (0.3, {}),
    "detection.focal_gamma": (1.0, {}),
    "detection.object_view_share": (0.0, {"train.phases.0.view": 0.5}),
    "detection.readout_c": (0.01, {}),
    "detection.threshold": (0.123, {}),
}
ELSEWHERE = {"contract.filters"}  # the export's
REFUSED_BESIDE = {"train.focal_gamma", "train.effective_number_beta", "augment.mix_probability"}
REFUSED = {
    "classification": {"train.phases.0.view"},
    "segmentation": {*OFF, *REFUSED_BESIDE},
    "detection": {*OFF, *REFUSED_BESIDE},
}
# An error that says what is wrong with the changed value, from what uses it.
USED = {"contract.max_value", "model.pretrained", "train.cache_max_gib"}


class _Log:
    """Stands in for a run in MLflow; keeps the figures."""

    figures: ClassVar[list[dict[str, Any]]] = []
    run_id = "0"

    def __init__(self, *_: Any) -> None:
        _Log.figures = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def log_epoch(self, epoch: int, metrics: dict[str, float], *_: Any) -> None:
        _Log.figures.append({"epoch": epoch, **{k: v for k, v in metrics.items() if k not in TIMED}})

    def log_artifact(self, path: Path) -> None:
        assert path.name

    def state(self) -> dict[str, Any]:
        return {}


@pytest.fixture(scope="module")
def few_tiles(tiny_tiles_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of two pictures of each class for training and for validation, one more of a class for training."""
    whole = Manifest.read(tiny_tiles_dir / "manifest.csv")
    table = whole.table[whole.table["split"] != "test"]
    rank = table.groupby(["label", "split"]).cumcount()
    is_third = (rank == 2) & (table["split"] == "train") & (table["label"] == whole.classes[0])
    table = table[(rank < 2) | is_third]
    root = tmp_path_factory.mktemp("few")
    (root / "pictures").symlink_to(tiny_tiles_dir / "pictures")
    shutil.copy(tiny_tiles_dir / "description.json", root)
    Manifest(table.reset_index(drop=True), root).write(root / "manifest.csv")
    return root / "manifest.csv"


@pytest.fixture
def formats(monkeypatch: pytest.MonkeyPatch) -> set[object]:
    """What steps were computed with, beyond their figures; MLflow and the compiler are not asked."""
    found: set[object] = set()
    step = Learner.step

    def watched(self: Learner, *rest: Any) -> Any:
        found.add(torch.are_deterministic_algorithms_enabled())
        found.update(
            p.is_contiguous(memory_format=torch.channels_last) for p in self._model.parameters() if p.ndim == 4
        )
        return step(self, *rest)

    monkeypatch.setattr(Learner, "step", watched)
    monkeypatch.setattr(nn.Module, "compile", lambda self: found.add("compiled"))
    monkeypatch.setattr(fit, "Run", _Log)
    for name in ("check_store", "check_compilation", "save_contact_sheet"):
        monkeypatch.setattr(fit, name, lambda *_: None)
    monkeypatch.setattr(run_control, "code_sha256", lambda _: "")
    return found


@cache
def _own_params() -> dict[str, Any]:
    params: dict[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    return params


def _document(task: Task) -> dict[str, Any]:
    """The project's own params, made tiny; those of another task are what holds with it, laid out as for classes."""
    own = _own_params()
    sections = ("contract", "model", "train", "augment", *OF_TASKS)
    document = {name: copy.deepcopy(own[name]) for name in sections}
    if task in OF_TASKS:
        for section in ("model", "train", "augment"):
            document[section] |= document[task].pop(section)
        document[task] |= {"channels": 8, "coarsest_stride": 8}
    document["contract"] |= {"height": 64, "width": 64}
    document["model"] |= {"backbone": "test_resnet", "pretrained": "none", "drop_rate": 0}
    document["train"] |= {"batch_size": 6, "label_smoothing": 0, "class_weight_power": 0, "phases": [
        {"trainable": "all", "epochs": 2, "lr": 0.01, "warm_up": 0.3},
    ]}  # fmt: skip
    return document


def _set(document: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    place: Any = document
    for name in path:
        place = place[int(name) if name.isdecimal() else name]
    if value is None:
        del place[last]
    else:
        place[last] = value


def _outcome(
    document: dict[str, Any], task: Task, manifest: Path, folder: Path, formats: set[object]
) -> tuple[int, str]:
    """Train; return the exit status and a digest of all that was computed."""
    formats.clear()
    shutil.rmtree(manifest.parent / "cache", ignore_errors=True)
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    status = fit.run_fit(manifest, folder / "params.yaml", RunControl(folder / "run"), "group", task)
    if status:
        return status, ""
    checkpoint = Checkpoint.load(folder / "run" / "checkpoint.pt")
    digest = hashlib.sha256(json.dumps([_Log.figures, sorted(map(str, formats))]).encode())
    contract = checkpoint.contract.model_dump(mode="json")
    digest.update(json.dumps([contract, (manifest.parent / "cache").exists()]).encode())
    for name, tensor in checkpoint.state_dict.items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return 0, digest.hexdigest()


def test_a_change_is_known_for_every_key_that_training_reads() -> None:
    sections: dict[str, type[Section]] = {
        "contract": ContractParams, "model": ModelParams, "train": TrainParams, "augment": AugmentParams,
        **OF_TASKS, "train.phases.0": PhaseParams,
    }  # fmt: skip
    assert set(Params.model_fields) == {name for name in sections if "." not in name} | {"crops"}
    declared = {f"{name}.{key}" for name, section in sections.items() for key in section.model_fields}
    # Made of keys that are in the others.
    replaced = {f"{task}.{section}" for task in OF_TASKS for section in ("model", "train", "augment")}
    assert declared == set(CHANGES) | ELSEWHERE | replaced | {"train.phases"}


@pytest.mark.parametrize("task", OF_TASKS)
def test_the_section_of_a_task_replaces_keys_one_by_one_and_its_errors_name_them_there(
    task: Task, tmp_path: Path
) -> None:
    own = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    own["train"]["clip_grad_norm"] = 0.5
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(own))
    params = Params.read(path, task)
    assert params.task == task
    assert (params.train.batch_size, params.train.clip_grad_norm) == (8, 0.5)
    own[task]["train"]["batch_size"] = 0
    path.write_text(yaml.safe_dump(own))
    with pytest.raises(ValueError, match=rf"{task}\.train\.batch_size: Input should be greater"):
        Params.read(path, task)


@pytest.mark.slow
@pytest.mark.parametrize("task", get_args(Task))
def test_every_key_changes_what_is_trained_or_is_refused_by_name(
    task: Task, few_tiles: Path, tmp_path: Path, formats: set[object], capfd: pytest.CaptureFixture[str]
) -> None:
    others = {name for name in OF_TASKS if name != task}
    keys = [key for key in CHANGES if key.partition(".")[0] not in others]
    before: dict[str, tuple[int, str]] = {}
    ignored, refused = [], set()
    for i, key in enumerate(keys):
        value, beside = CHANGES[key]
        document = _document(task)
        for other, state in beside.items():
            _set(document, other, state)
        if key == "train.phases.0.steps":
            document["train"]["phases"][0]["epochs"] = 2
        name = json.dumps([beside, key.endswith("steps")])
        if name not in before:
            before[name] = _outcome(document, task, few_tiles, tmp_path / f"{i}-before", formats)
            text = capfd.readouterr().err
        if before[name][0]:  # what makes the key matter is refused already
            assert any(other in text for other in beside), text
            refused.add(key)
            continue
        changed = copy.deepcopy(document)
        if key == "train.phases.0.steps":
            del changed["train"]["phases"][0]["epochs"]
        _set(changed, key, value)
        after = _outcome(changed, task, few_tiles, tmp_path / f"{i}-after", formats)
        text = capfd.readouterr().err
        if after[0]:
            assert key in text, f"{key} is refused without its name: {text}"
            if key not in USED:
                refused.add(key)
        elif after == before[name]:
            ignored.append(key)
    assert not ignored
    assert refused == REFUSED[task]
