"""The environment is read once, and a value that does not fit is named."""

from pathlib import Path

import pytest

from runtime.serving.settings import ServingSettings, SettingsError


def test_variables_override_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_THREADS", "3")
    monkeypatch.setenv("VISION_DEVICE", "cpu")
    settings = ServingSettings.read()
    assert (settings.threads, settings.device, settings.model) == (3, "cpu", ("vision-classifier:latest",))


def test_models_are_named_with_commas_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_MODEL", "vision-classifier:latest, my-segmenter:1")
    assert ServingSettings.read().model == ("vision-classifier:latest", "my-segmenter:1")
    monkeypatch.setenv("VISION_MODEL", "vision-classifier:latest,")
    with pytest.raises(SettingsError, match="VISION_MODEL=''"):
        ServingSettings.read()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VISION_DEVICE", "tpu"),
        ("VISION_THREADS", "-1"),
        ("VISION_MAX_PIXELS", "many"),
        ("VISION_MODEL", "Not A Tag"),
        ("VISION_MAX_IMAGES_PER_REQUEST", "0"),
        ("VISION_SESSIONS", "-1"),
        ("VISION_MAX_QUEUED_IMAGES", "0"),
        ("VISION_DEADLINE_MS", "3600001"),
        ("VISION_JOBS_DIR", "jobs"),
        ("VISION_JOBS_DIR", "~/jobs"),
    ],
)
def test_value_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{variable}='{value}'"):
        ServingSettings.read()


def test_variables_that_kubernetes_sets_for_a_service_named_vision_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("VISION_PORT", "tcp://10.0.0.1:3000")
    assert ServingSettings.read() == ServingSettings()


def test_folder_of_jobs_that_is_empty_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_JOBS_DIR", "")
    assert ServingSettings.read().jobs_dir is None
    monkeypatch.setenv("VISION_JOBS_DIR", "/srv/jobs")
    assert ServingSettings.read().jobs_dir == Path("/srv/jobs")


def test_queue_that_cannot_hold_one_full_request_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_MAX_QUEUED_IMAGES", "31")
    with pytest.raises(
        SettingsError, match=r"VISION_MAX_QUEUED_IMAGES=31 must not be less than VISION_MAX_IMAGES_PER_REQUEST=32"
    ):
        ServingSettings.read()


def test_budget_that_cannot_hold_one_largest_body_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_MAX_BODY_BYTES", str(2**30 + 1))
    with pytest.raises(
        SettingsError,
        match=r"VISION_MAX_INFLIGHT_BYTES=1073741824 must not be less than VISION_MAX_BODY_BYTES=1073741825",
    ):
        ServingSettings.read()
