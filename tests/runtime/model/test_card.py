"""The line of a model card that says which model it is of."""

import pytest

from runtime.model.card import CardError, card_model_sha256

DIGEST = "0123456789abcdef" * 4


def test_the_hash_is_read_from_the_header() -> None:
    assert card_model_sha256(f"---\nlicense: apache-2.0\nmodel_sha256: {DIGEST}\n---\n\n# A model\n") == DIGEST


def test_a_hash_of_digits_only_is_read_with_the_quotes_that_yaml_needs() -> None:
    assert card_model_sha256(f"---\nmodel_sha256: '{'1' * 64}'\n---\n") == "1" * 64


def test_a_card_without_the_line_is_refused() -> None:
    with pytest.raises(CardError, match=r"must hold one line 'model_sha256: .*found 0"):
        card_model_sha256("---\nlicense: apache-2.0\n---\n")


def test_a_shortened_hash_is_no_hash() -> None:
    with pytest.raises(CardError, match="found 0"):
        card_model_sha256(f"---\nmodel_sha256: {DIGEST[:12]}\n---\n")


def test_a_line_below_the_header_does_not_count() -> None:
    with pytest.raises(CardError, match="found 0"):
        card_model_sha256(f"---\nlicense: apache-2.0\n---\n\nmodel_sha256: {DIGEST}\n")


def test_two_hashes_are_refused() -> None:
    with pytest.raises(CardError, match="found 2"):
        card_model_sha256(f"---\nmodel_sha256: {DIGEST}\nmodel_sha256: {DIGEST[::-1]}\n---\n")


@pytest.mark.parametrize("text", ["", "# A model\n", f"---\nmodel_sha256: {DIGEST}\n"])
def test_a_card_without_a_header_is_refused(text: str) -> None:
    with pytest.raises(CardError, match="no header"):
        card_model_sha256(text)
