"""Have the MLflow store of a checkout follow it to another place.

MLflow notes where the files of experiments, runs and model versions lie as absolute paths, taken from the folder that a
store is first used in. Of a checkout that was moved or copied they name the former place, to which MLflow would go on
writing. The tables are those of the pinned MLflow.
"""

import logging
import sqlite3
from pathlib import Path

FILES_DIR = "mlruns"  # MLflow's own choice, beside the store
_PATHS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)

logger = logging.getLogger(__name__)


def follow_checkout(database: sqlite3.Connection, folder: Path, experiment: str) -> None:
    """Let all paths below the former place of `folder` name the present one.

    database: a store in `folder`, in a transaction of the caller's; one without tables has nothing to follow. The
    former place is told by the experiment, if its files were put beside the store.
    """
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return
    known = "SELECT artifact_location, experiment_id FROM experiments WHERE name = ?"
    location, number = database.execute(known, (experiment,)).fetchone() or ("", "")
    former, present = str(location).removesuffix(f"/{number}"), str(folder / FILES_DIR)
    if not former.startswith("/") or Path(former).name != FILES_DIR or former == present:
        return
    for table, column in _PATHS:
        database.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
            (present, len(former) + 1, len(former) + 1, f"{former}/"),
        )
    logger.info("the checkout was moved: MLflow's files of runs are not in %s but in %s", former, present)
