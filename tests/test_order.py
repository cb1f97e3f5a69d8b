"""The order of files cannot rot: it names every file with slow tests, and no other."""

import re
from pathlib import Path

from tests.order import SLOW_FILES, longest_first

REPOSITORY = Path(__file__).parent.parent


def test_the_order_names_every_file_with_a_slow_test_and_no_other() -> None:
    marked = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        if re.search(r"^(@|pytestmark = )pytest\.mark\.slow\b", path.read_text(encoding="utf-8"), re.M)
    }
    assert marked == set(SLOW_FILES)
    assert len(SLOW_FILES) == len(set(SLOW_FILES))


def test_slow_files_come_first_and_all_else_stays_as_it_was() -> None:
    first, second = SLOW_FILES[:2]
    files = ["tests/a.py", second, "tests/b.py", first, "tests/a.py", first]
    assert longest_first(files) == [3, 5, 1, 0, 2, 4]
