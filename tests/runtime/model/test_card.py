"""The line of a model card that says which model it is of."""

from pathlib import Path

import pytest

from runtime.model.card import CardError, card_model_sha256, card_models_sha256, check_card

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


OTHER = DIGEST[::-1]


def test_a_card_of_several_models_lists_them_and_is_of_each(tmp_path: Path) -> None:
    card = tmp_path / "MODEL_CARD.md"
    card.write_text(f"---\ntags:\n- onnx\nmodel_sha256:\n- {DIGEST}\n- '{OTHER}'\nlicense: mit\n---\n\n# Two\n")
    assert card_models_sha256(card.read_text()) == (DIGEST, OTHER)
    check_card(card, DIGEST)
    check_card(card, OTHER)
    with pytest.raises(CardError, match=f"describes the ONNX file {DIGEST[:12]} and {OTHER[:12]}, but the model's is"):
        check_card(card, "f" * 64)
    with pytest.raises(CardError, match="must hold one line"):
        check_card(card, DIGEST, is_alone=True)


@pytest.mark.parametrize(
    "header",
    [
        f"model_sha256:\n- {DIGEST}\n",
        f"model_sha256:\n- {DIGEST}\n- {DIGEST}\n",
        f"model_sha256:\n- {DIGEST}\n- {OTHER}\nmodel_sha256: {DIGEST}\n",
        f"model_sha256:\n- {DIGEST}\n- {OTHER}\nmodel_sha256:\n- {DIGEST}\n- {'f' * 64}\n",
    ],
)
def test_a_list_that_is_no_list_of_different_models_is_refused(header: str) -> None:
    with pytest.raises(CardError, match="a different SHA-256 for each"):
        card_models_sha256(f"---\n{header}---\n")


def test_a_list_that_is_cut_short_does_not_count() -> None:
    for items in (f"- {DIGEST}\n- {OTHER[:12]}\n", f"- {DIGEST}\n- {OTHER}\n- {OTHER[:12]}\n"):
        with pytest.raises(CardError, match="found 0"):
            card_models_sha256(f"---\nmodel_sha256:\n{items}---\n")


def test_a_card_of_one_model_is_read_as_before() -> None:
    assert card_models_sha256(f"---\nmodel_sha256: {DIGEST}\n---\n") == (DIGEST,)
