"""MLflow's registry of models and BentoML's model store point at each other.

The store's models carry the run as the label `mlflow_run_id`; here the run and its version in the registry carry the
store's tags. A registered model has the name that it has in the store, `vision-classifier` or `vision-segmenter`, and
one version a run.
"""

from contextlib import suppress
from typing import Any

from training.records.tracking import TrackingError, check_store, client_and_errors, explained

MODEL_TAG, CHECKPOINT_TAG = "bentoml_model", "bentoml_checkpoint"


def register_version(run_id: str, model: str, checkpoint: str) -> str:
    """Register the run's checkpoint, or find it registered, and tag it with the store's tags; return the version.

    model, checkpoint: the tags; the registered model has the first one's name.

    Raises TrackingError if the tracking store does not answer or has no such run.
    """
    check_store()
    client, mlflow_error = client_and_errors()
    try:
        run = client.get_run(run_id)
    except mlflow_error as exc:
        raise TrackingError(f"there is no MLflow run '{run_id}' where MLFLOW_TRACKING_URI points") from exc
    with explained():
        return _version_of(client, mlflow_error, run, {MODEL_TAG: model, CHECKPOINT_TAG: checkpoint})


def _version_of(client: Any, mlflow_error: type[Exception], run: Any, tags: dict[str, str]) -> str:
    run_id, name = run.info.run_id, tags[MODEL_TAG].partition(":")[0]
    known = client.search_model_versions(f"name='{name}'")
    version = next((one for one in known if one.run_id == run_id), None)
    if version is None:
        with suppress(mlflow_error):  # it is there, maybe since a moment ago
            client.create_registered_model(name)
        source = f"{run.info.artifact_uri}/checkpoint.pt"
        version = client.create_model_version(name, source, run_id)
    for key, tag in tags.items():
        client.set_model_version_tag(name, version.version, key, tag)
        client.set_tag(run_id, key, tag)
    return str(version.version)
