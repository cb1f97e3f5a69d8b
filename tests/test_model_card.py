"""MODEL_CARD.md at the root is the reference model's, as the chain wrote it."""

import re
from pathlib import Path

from runtime.model.card import card_model_sha256

CARD = (Path(__file__).parent.parent / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_it_names_its_model_and_the_reference_data() -> None:
    assert re.fullmatch("[0-9a-f]{64}", card_model_sha256(CARD))
    assert "magnetic-tile" in CARD
    assert "1344 images of 219 groups" in CARD


def test_it_gives_both_protocols_and_says_which_one_leaks() -> None:
    header = next(line for line in CARD.splitlines() if line.startswith("| figure |"))
    assert "split by group (headline)" in header
    assert "split by image: LEAKING" in header
    assert re.search(r"^\| Macro-F1 \| 0\.\d+ \(0\.\d+–[01]\.\d+\) \| 0\.\d+ \(", CARD, re.M)


def test_it_was_made_from_committed_code() -> None:
    (commit,) = re.findall(r"^\| git commit \| `(\w+(?:-dirty)?)` \|$", CARD, re.M)
    assert re.fullmatch("[0-9a-f]{40}", commit)
