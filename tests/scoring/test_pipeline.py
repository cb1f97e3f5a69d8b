"""However long the list, only so much of it is in memory."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from runtime.model.session import Predictor
from scoring.pipeline import Scorer


def test_the_list_is_read_no_further_ahead_than_the_threads_need(pictures_dir: Path, model_dir: Path) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "00.png"

    scorer = Scorer.of(Predictor.load(model_dir, sessions=2), "v", batch_size=4, num_workers=3)
    rows = scorer.score(pictures_dir, endless())
    for consumed in (1, 100, 400):
        list(islice(rows, consumed))
    rows.close()  # type: ignore[attr-defined]  # a generator
    assert 501 <= taken <= 501 + (2 * 3 + 1) * 4


def test_rows_come_in_the_order_of_the_list(pictures_dir: Path, model_dir: Path) -> None:
    scorer = Scorer.of(Predictor.load(model_dir, sessions=2), "v", batch_size=3, num_workers=4)
    names = [f"{number % 15:02d}.png" for number in range(200)]
    assert [row.path for row in scorer.score(pictures_dir, names)] == names
