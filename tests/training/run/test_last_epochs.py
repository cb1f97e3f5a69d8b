"""The epochs without augmentation are the last of the plan, also after a phase that ended early and after a resume."""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.manifest import Manifest
from tests.training.records.mlflow_store import copy_empty_store
from tests.training.run.interrupted_runs import assert_same
from training.data.tensors import Batch, PictureDataset, training_batches
from training.fit import fit
from training.params import Params
from training.process.distributed import single_worker
from training.process.signals import LeaveRequest, Requeue
from training.run import trainer
from training.run.run_control import RunControl


@pytest.fixture
def params(tiny_params: dict[str, Any]) -> Params:
    """The first phase learns nothing and so ends after two of its four epochs; the last epoch is not augmented."""
    tiny_params["contract"] |= {"height": 32, "width": 32}
    tiny_params["model"] = {"backbone": "test_efficientnet", "pretrained": "none", "drop_rate": 0.3}
    tiny_params["train"]["early_stopping_epochs"] = 1
    tiny_params["train"]["phases"] = [
        {"trainable": "head", "epochs": 4, "lr": 1e-9},
        {"trainable": "all", "epochs": 2, "lr": 0.002},
    ]
    tiny_params["augment"]["off_last_epochs"] = 1
    return Params(**{name: tiny_params[name] for name in ("contract", "model", "train", "augment")})


@pytest.mark.slow
def test_the_last_planned_epochs_are_not_augmented_though_an_earlier_phase_ended_early(
    tiny_tiles_dir: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    mlflow.set_tracking_uri(copy_empty_store(tmp_path / "mlflow.db"))
    monkeypatch.chdir(tmp_path)
    is_plain: dict[int, bool] = {}
    leaving, leave_at = LeaveRequest(), 0

    def watched(dataset: PictureDataset, epoch: int, *rest: Any, **named: Any) -> Iterator[Batch]:
        batches = training_batches(dataset, epoch, *rest, **named)  # now: it draws a number before those are set
        return map(partial(look, dataset, epoch), itertools.count(1), batches)

    def look(dataset: PictureDataset, epoch: int, number: int, batch: Batch) -> Batch:
        plain = np.stack([dataset.plain(i) for i in batch.indices.tolist()])
        is_plain[epoch] = is_plain.get(epoch, True) and np.array_equal(batch.images.numpy(), plain)
        leaving.is_made = epoch == 6 and number == leave_at
        return batch

    monkeypatch.setattr(trainer, "training_batches", watched)
    manifest = Manifest.read(tiny_tiles_dir / "manifest.csv")
    fit(manifest, "group", params, RunControl(tmp_path / "whole"), single_worker(), leaving)
    assert is_plain == {1: False, 2: False, 5: False, 6: True}

    leave_at = 2
    with pytest.raises(Requeue):
        fit(manifest, "group", params, RunControl(tmp_path / "left"), single_worker(), leaving)
    leave_at = 0
    is_plain.clear()
    fit(manifest, "group", params, RunControl(tmp_path / "left", resume="required"), single_worker(), leaving)
    assert is_plain == {6: True}
    assert_same(tmp_path / "left", tmp_path / "whole", num_epochs=4)
