"""What a comparison says of the data that two models saw: their versions, and what differs."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pandas as pd

from dataset.manifest import COLUMNS, Manifest
from dataset.params import SplitParams
from dataset.splitting.versions import VERSIONS_FILE, Version, Versions
from export.data_seen import data_seen
from export.measured_model import MeasuredModel


def model(name: str, manifest: Manifest) -> MeasuredModel:
    """As much of a model as is asked for here."""
    return cast(MeasuredModel, SimpleNamespace(name=name, manifest=manifest, data_sha256=manifest.sha256))


def table(sides: dict[str, str]) -> pd.DataFrame:
    rows = [(f"{name}.png", "good", name, side, side, f"sha-{name}", 8, 8, "") for name, side in sides.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_versions_new_pictures_and_moved_ones_are_said(tmp_path: Path) -> None:
    before = Manifest(table({"a": "train", "b": "test"}), tmp_path / "registered")
    now = Manifest(table({"a": "test", "b": "test", "c": "train"}), tmp_path)
    params = SplitParams(seed=0, num_folds=5, test_fold=0)
    Versions(tuple(Version.of(one, params, at) for at, one in enumerate((before, now), 1))).write(tmp_path)
    said = data_seen(model("this", now), model("vision:old", before))
    assert said == (
        f"vision:old saw version 1 of the data ({before.sha256[:12]}, 2 pictures) and this model saw version 2 of the "
        f"data ({now.sha256[:12]}, 3 pictures), of which 1 new, 1 on another side than before"
    )
    (tmp_path / VERSIONS_FILE).write_text("{")  # the number is a help alone
    assert data_seen(model("this", now), model("vision:old", before)).startswith("vision:old saw data (")
