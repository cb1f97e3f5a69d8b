"""A BentoML home of the test's own, for this process and its children."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from bentoml._internal.bento import BentoStore
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore


@contextmanager
def bentoml_home(home: Path) -> Iterator[Path]:
    """Point BentoML at `home` until the block ends.

    The environment is for children; this process computed its paths from it once and needs them replaced.
    """
    paths = {name: home / name for name in ("models", "bentos", "tmp")}
    for path in paths.values():
        path.mkdir(parents=True, exist_ok=True)
    replaced = {
        "bentoml_home": str(home),
        "tmp_bento_store_dir": str(paths["tmp"]),
        "model_store_dir": str(paths["models"]),
        "model_store": ModelStore(paths["models"]),
        "bento_store_dir": str(paths["bentos"]),
        "bento_store": BentoStore(paths["bentos"]),
    }
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("BENTOML_HOME", str(home))
        patch.setenv("BENTOML_DO_NOT_TRACK", "True")
        for name, value in replaced.items():
            stack.enter_context(getattr(BentoMLContainer, name).patch(value))
        yield home
