"""An MLflow database of a test's own, without the seconds that all of MLflow's migrations take on a new one."""

import os
import shutil
from pathlib import Path


def copy_empty_store(path: Path) -> str:
    """Write a database without runs to `path`; return its tracking URI. The first call of a session makes it."""
    template = Path(os.environ["TESTS_HOME"]) / "empty-mlflow.db"
    if not template.is_file():
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = SqlAlchemyStore(f"sqlite:///{template}", str(template.parent / "mlruns"))
        store.engine.dispose()
    shutil.copyfile(template, path)
    return f"sqlite:///{path}"
