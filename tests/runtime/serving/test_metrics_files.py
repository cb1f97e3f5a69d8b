"""Files in which a service's processes keep their metrics are read while another process makes or removes its own."""

import os
import subprocess
import sys
from pathlib import Path

WORDS = """
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from runtime.serving.prometheus.metrics_folder import read_unfinished_files_as_empty

read_unfinished_files_as_empty()
read_unfinished_files_as_empty()  # as two services in one process do
Counter("pictures", "").inc(3)
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


def scrape(folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    return subprocess.run([sys.executable, "-c", WORDS], env=environment, capture_output=True, text=True)


def test_a_file_that_is_just_being_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").touch()
    done = scrape(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pictures_total 3.0" in done.stdout


def test_a_file_that_is_damaged_is_one(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").write_bytes(b"ab")
    assert "struct.error" in scrape(tmp_path).stderr
