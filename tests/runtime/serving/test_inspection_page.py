"""What the page tells of models is safe to show, and absent where a model comes without it."""

import json
import re
from pathlib import Path

import bentoml
import pytest
from pydantic import ValidationError

from runtime.model.stated_filters import AbstainFilter
from runtime.serving.page.card_html import render_card
from runtime.serving.page.inspection_page import FILES, render_page
from runtime.serving.page.model_facts import ConfusionMatrix, ModelFacts
from runtime.serving.settings import ServingSettings
from tests.bentoml_home import bentoml_home
from tests.onnx_fixture import tiny_contract, write_tiny_model

CARD = """---
model_sha256: 0
title: the header
---
# A model

## Data

<script>alert(1)</script> and <b>bold</b>, ![picture](https://example.com/a.png)

[good](https://example.com/) [bad](javascript:alert(1))

| class | images |
|---|---:|
| crack | 12 |
"""
MATRIX = {"classes": ["red", "green", "blue"], "confusion": [[8, 2, 0], [0, 0, 0], [1, 0, 1000]]}


@pytest.fixture
def model(tmp_path: Path) -> bentoml.Model:
    contract = tiny_contract().model_copy(update={"filters": (AbstainFilter(below=0.7),)})
    with bentoml_home(tmp_path), bentoml.models.create("vision-classifier") as model:
        write_tiny_model(Path(model.path), contract)
    return model


def test_card_runs_loads_and_styles_nothing() -> None:
    html = render_card(CARD)
    assert "the header" not in html
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<img" not in html
    assert 'href="javascript:' not in html
    assert "style=" not in html
    assert '<a href="https://example.com/" rel="noopener noreferrer" target="_blank">good</a>' in html


def test_card_stands_below_the_pages_headings_and_its_tables_scroll_by_keyboard() -> None:
    html = render_card(CARD)
    assert re.findall(r"<(h\d)>([^<]*)", html) == [("h3", "A model"), ("h4", "Data")]
    assert '<div class="wide" role="group" tabindex="0" aria-label="Table 1 of the card">' in html
    assert '<td class="right">12</td>' in html


def test_card_without_a_header_is_shown_whole() -> None:
    assert render_card("---\nno end") == "<hr />\n<p>no end</p>\n"


def test_cell_is_as_dark_as_its_share_of_the_row_and_never_blank_where_something_is() -> None:
    matrix = ConfusionMatrix.model_validate(MATRIX)
    assert [[matrix.shade(row, column) for column in range(3)] for row in range(3)] == [[7, 2, 0], [0, 0, 0], [1, 0, 9]]
    assert matrix.num_images == 1011
    with pytest.raises(ValidationError, match="has 3 rows of 3 numbers"):
        ConfusionMatrix.model_validate({**MATRIX, "confusion": [[1, 2], [3, 4]]})


def test_model_with_card_and_evaluation_is_told_whole(model: bentoml.Model) -> None:
    folder = Path(model.path)
    (folder / "MODEL_CARD.md").write_text(CARD)
    (folder / "evaluation.json").write_text(json.dumps({**MATRIX, "accuracy": 1.0}))
    facts = ModelFacts.read("classification", model)
    assert facts.abstain_below == 0.7
    page = render_page([facts], ["predict", "detect_batch"], ServingSettings(max_body_bytes=1234))
    assert '{"asks": ["predict"], "maxBodyBytes": 1234}' in page
    for told in (
        facts.version,
        facts.sha256,
        "70.0%",
        "Confusion matrix on its test pictures",
        "1011 pictures",
        "A model",
    ):
        assert told in page
    assert 'class="shade-7 right-one">8<' in page
    assert " style=" not in page


@pytest.mark.parametrize("evaluation", [None, '{"accuracy": 1.0}', "no JSON"])
def test_what_a_model_comes_without_is_left_out(model: bentoml.Model, evaluation: str | None) -> None:
    if evaluation is not None:
        (Path(model.path) / "evaluation.json").write_text(evaluation)
    facts = ModelFacts.read("classification", model)
    page = render_page([facts], ["predict"], ServingSettings())
    assert "Confusion" not in page
    assert "comes without a card" in page


def test_card_that_cannot_be_read_is_left_out_and_the_log_says_so(
    model: bentoml.Model, caplog: pytest.LogCaptureFixture
) -> None:
    (Path(model.path) / "MODEL_CARD.md").write_bytes("Größe".encode("latin-1"))
    assert ModelFacts.read("classification", model).card is None
    assert "MODEL_CARD.md, which cannot be read" in caplog.text


def test_name_from_a_contract_is_text_in_the_page(model: bentoml.Model) -> None:
    facts = ModelFacts.read("classification", model)
    evil = tiny_contract(classes=("<script>alert(1)</script>", "b", "c"))
    facts = ModelFacts(facts.role, facts.name, facts.version, facts.sha256, evil, None, None)
    page = render_page([facts], ["predict"], ServingSettings())
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_modules_of_the_page_import_only_each_other_and_name_nothing_foreign() -> None:
    names = {path.name for path in FILES.iterdir()}
    for path in FILES.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")  # a name, and no address
        assert "://" not in text, path.name
        imported = re.findall(r'from "\./([^"]+)"', text) if path.suffix == ".js" else []
        assert set(imported) <= names, path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), path.name
