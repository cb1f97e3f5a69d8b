"""What `make bench` runs needs no package that its environment lacks: `requirements/bench.txt` is all it has."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = ("benchmarks.serve_load", "benchmarks.segment_load", "benchmarks.tiles", "benchmarks.peers.naive_segmenter")
# Hides what this environment has beside the pinned packages; of modules without a package none is hidden.
IMPORT_WITH = """
import importlib.abc, importlib.metadata, re, sys
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
pinned = {plain(line.split("==")[0]) for line in open("requirements/bench.txt") if re.match("[A-Za-z0-9]", line)}
owners = importlib.metadata.packages_distributions()

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        owned_by = owners.get(name.split(".")[0], [])
        if owned_by and not pinned & set(map(plain, owned_by)):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
for command in sys.argv[1:]:
    __import__(command)
    print(command)
"""


def test_commands_of_make_bench_find_all_they_import() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_WITH, *COMMANDS], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, list(COMMANDS)), done.stderr
    done = subprocess.run([sys.executable, "-c", IMPORT_WITH, "pandas"], cwd=ROOT, capture_output=True, text=True)
    assert "No module named 'pandas'" in done.stderr, "else the test would find nothing"
