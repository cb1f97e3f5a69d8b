"""Numbers in sentences: what was measured shows its precision, what was chosen shows as it was chosen."""

import pytest

from evaluation.analyses.image_statistics import statistics_in_words
from evaluation.pages.wording import number, setting


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (10.0, "10"), (0.5, "0.5"), (-1.0, "−1"), (0.0, "0"), (0.125, "0.125")]
)
def test_a_setting_is_written_as_it_was_chosen(value: float, text: str) -> None:
    assert setting(value) == text


def test_a_measured_number_shows_its_decimals() -> None:
    assert (number(1.0), number(-0.5), number(24.0), number(None)) == ("1.000", "−0.500", "24", "undefined")


def test_statistics_are_explained_only_where_they_were_used() -> None:
    assert statistics_in_words(("exposure", "aspect", "brightness")) == (
        "Brightness: mean grey level, 0 to 255; aspect: width over height."
    )
    assert statistics_in_words(("exposure",)) == ""
