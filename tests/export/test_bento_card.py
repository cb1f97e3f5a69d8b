"""The card of a Bento with several models: one header that is of each of them, and every card's text."""

import pytest
import yaml

from export.bento_card import join_cards
from runtime.model.card import CardError, card_models_sha256

A, B = "0123456789abcdef" * 4, "1" * 64  # the latter is a number to YAML unless it is quoted


def card(digest: str, **header: object) -> str:
    text = yaml.safe_dump({"license": "mit", **header, "model_sha256": digest}, sort_keys=False)
    return f"---\n{text}---\n\n# A card\n\nIt was measured.\n\n---\n\nA rule above.\n"


def test_the_card_of_one_model_stays_as_it_is() -> None:
    text = "whatever it says\n"
    assert join_cards({"vision-classifier": text}) == text


def test_both_models_are_in_one_header_and_both_texts_below_it() -> None:
    first = card(A, pipeline_tag="image-classification", tags=["image-classification", "onnx"], library_name="onnx")
    second = card(B, pipeline_tag="image-segmentation", tags=["image-segmentation", "onnx"], license="apache-2.0")
    joined = join_cards({"vision-classifier": first, "vision-segmenter": second})
    assert card_models_sha256(joined) == (A, B)
    header = yaml.safe_load(joined.split("---\n")[1])
    assert header == {
        "license": ["mit", "apache-2.0"],
        "tags": ["image-classification", "onnx", "image-segmentation"],
        "library_name": "onnx",
        "model_sha256": [A, B],
    }
    assert "# Models in this Bento\n\n- vision-classifier\n- vision-segmenter\n" in joined
    assert joined.count("# A card") == joined.count("A rule above.") == 2


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (card(A).replace("mit", "[mit"), "the header of the card of vision-segmenter is no YAML"),
        (card(A).replace("model_sha256", "sha256"), "must hold one line"),
        ("# No header\n", "no header"),
    ],
)
def test_a_card_that_cannot_be_joined_is_refused(broken: str, message: str) -> None:
    with pytest.raises(CardError, match=message):
        join_cards({"vision-classifier": card(B), "vision-segmenter": broken})
