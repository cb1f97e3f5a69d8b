"""What every training run leaves in MLflow besides figures."""

from importlib.metadata import version
from pathlib import Path

from PIL import Image

from training.records.tracking import client_and_errors


def assert_files_in_mlflow(run_id: str, folder: Path) -> None:
    """The history as CSV and as a picture, the contact sheet, the checkpoint, and the packages that made it."""
    client, _ = client_and_errors()
    names = {"environment.txt", "history.csv", "history.png", "contact_sheet.png", "checkpoint.pt"}
    assert {file.path for file in client.list_artifacts(run_id)} == names
    local = {name: Path(client.download_artifacts(run_id, name, str(folder))) for name in names}
    packages = local["environment.txt"].read_text(encoding="utf-8").splitlines()
    assert f"torch=={version('torch')}" in packages
    assert any(line.startswith("# Python 3.") for line in packages)
    with Image.open(local["history.png"]) as plot:
        assert plot.width > 400
    assert local["history.csv"].read_text(encoding="utf-8").startswith("epoch,train_loss,")
