"""What node exporter reads: right figures of the last half minute, whole files, nothing unless asked for."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from training.records import textfile
from training.records.textfile import FOLDER_VARIABLE, Utilisation


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(textfile, "time", clock)
    return clock


@pytest.fixture
def utilisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Utilisation:
    for name, value in (("RANK", "3"), ("SLURMD_NODENAME", "node7"), ("SLURM_JOB_ID", "42")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    found = Utilisation.from_environment()
    assert found is not None
    return found


def read(folder: Path) -> dict[str, float]:
    (path,) = folder.iterdir()
    assert path.name == "vision_training_42_3.prom"
    samples = [sample for family in text_string_to_metric_families(path.read_text()) for sample in family.samples]
    assert all(sample.labels == {"rank": "3", "node": "node7", "job": "42"} for sample in samples)
    return {sample.name.removeprefix("vision_training_"): sample.value for sample in samples}


def test_rates_are_over_the_last_half_minute(utilisation: Utilisation, clock: Clock, tmp_path: Path) -> None:
    utilisation.record(num_images=64, wait_s=0.0, total_s=2.0)
    assert read(tmp_path)["images_per_second"] == 32
    clock.now += 31
    utilisation.record(num_images=10, wait_s=1.5, total_s=2.0)
    found = read(tmp_path)
    assert (found["images_per_second"], found["data_wait_ratio"], found["last_write_seconds"]) == (5, 0.75, 1031)


def test_the_file_is_not_written_at_every_step(utilisation: Utilisation, clock: Clock, tmp_path: Path) -> None:
    utilisation.record(8, 0.0, 1.0)
    clock.now += 1
    utilisation.record(8, 0.0, 3.0)
    assert read(tmp_path)["images_per_second"] == 8
    clock.now += 4
    utilisation.record(8, 0.0, 0.0)
    assert read(tmp_path)["images_per_second"] == 6


def test_nothing_is_written_unless_a_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert Utilisation.from_environment() is None


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
    found = Utilisation.from_environment()
    assert found is not None
    with pytest.raises(FileNotFoundError):
        found.record(1, 0.0, 1.0)
