"""What all tests share: nothing outside temporary folders is written, nothing phones home, one small data set."""

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cpu_time import CpuTime
from tests.forking_python import close_forking_python
from tests.order import longest_first

REPOSITORY = Path(__file__).parent.parent
REFERENCE_DIR = REPOSITORY.parent / "shared" / "data" / "magnetic-tile"
_HOME = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before test modules are imported: BentoML reads its home on import."""
    # A shell starts what it puts into the background with Ctrl-C ignored, and children would inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(CpuTime())
    home = Path(tempfile.mkdtemp(prefix="bento-vision-tests-"))
    config.stash[_HOME] = home
    os.environ.update(
        {
            "TESTS_HOME": str(home),
            "BENTOML_HOME": str(home / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
            "DO_NOT_TRACK": "true",
            "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-global"),
            "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
            "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "ORT_DISABLE_TELEMETRY": "1",
            "NO_ALBUMENTATIONS_UPDATE": "1",
            # Tests run one a core; threads that wait for each other on shared cores take several times as long.
            "OMP_NUM_THREADS": "1",
            # Servers that tests start are on this machine, which no proxy reaches.
            "NO_PROXY": "127.0.0.1,localhost,::1",
            "no_proxy": "127.0.0.1,localhost,::1",
        }
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [items[place] for place in longest_first([item.nodeid.partition("::")[0] for item in items])]


def pytest_unconfigure(config: pytest.Config) -> None:
    close_forking_python()
    if _HOME in config.stash:
        shutil.rmtree(config.stash[_HOME], ignore_errors=True)


@pytest.fixture(autouse=True)
def _handlers_stay() -> Iterator[None]:
    """Put signal handlers back: a run that was asked to leave ignores Ctrl-C from then on, and later tests press it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The magnetic-tile photographs; tests that use it also carry the marker `reference`."""
    if not REFERENCE_DIR.is_dir():
        pytest.skip("the magnetic-tile photographs are not beside the checkout")
    return REFERENCE_DIR


@pytest.fixture(scope="session")
def tiny_tiles_dir(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A data directory of 24 drawn tiles, 144 pictures, with a manifest split in 3 folds. Read it, never write to it.

    Built once a session: with pytest-xdist all workers share it.
    """
    base = tmp_path_factory.getbasetemp()
    data_dir = (base if worker_id == "master" else base.parent) / "tiny-tiles"
    with (data_dir.parent / "tiny-tiles.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (data_dir / "manifest.csv").is_file():
            _make_tiny_tiles(data_dir)
    return data_dir


def _make_tiny_tiles(data_dir: Path) -> None:
    # Imported here, so that tests of rooms without pandas and scikit-learn start fast.
    from dataset.box_formats.writing import with_boxes
    from dataset.examine import examine
    from dataset.load import tabulate
    from dataset.manifest import Manifest
    from dataset.outputs.pipeline import PICTURES_CSV
    from dataset.params import DataParams, SplitParams
    from dataset.sources.source_picture import Collection
    from dataset.sources.synthetic.synthetic_tiles import DESCRIPTION, draw_synthetic_tiles
    from dataset.splits import assign_splits

    pictures = draw_synthetic_tiles(data_dir / "pictures", num_tiles=24)
    collection = Collection(pictures, DESCRIPTION, has_stated_groups=True)
    table = tabulate(collection, examine(collection, data_dir), DataParams(near_duplicate_correlation=0.9))
    Manifest(table, data_dir).write(data_dir / PICTURES_CSV)
    with_boxes(collection, table, data_dir).description.write(data_dir)
    split = assign_splits(table, SplitParams(seed=0, num_folds=3, test_fold=0))
    Manifest(split, data_dir).write(data_dir / "manifest.csv")
