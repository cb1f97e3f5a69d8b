"""A tiny model whose contract names filters, and the hook that goes into the Bento with it."""

import onnx

from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ClassificationContract
from tests.bento_project import Project
from tests.onnx_fixture import card_text, tiny_contract, tiny_graph, write_sources

ABSTAIN_BELOW = 0.9
HOOK = '''
"""Rules of this deployment."""
import time

from runtime.results import Prediction


def check(prediction: Prediction, *, forbidden: str, renamed: dict[str, str], slow: str) -> Prediction:
    if prediction.label == forbidden:
        raise ValueError(f"{forbidden} must not happen: secret")
    if prediction.label == slow:
        time.sleep(10)
    return prediction.model_copy(update={"label": renamed.get(prediction.label, prediction.label)})
'''
FILTERS = (
    {"kind": "abstain", "below": ABSTAIN_BELOW},
    {
        "kind": "hook",
        "path": "hooks.rules:check",
        "options": {"forbidden": "blue", "renamed": {"red": "scrap"}, "slow": "green"},
    },
)


def register_filtered_model(project: Project, scale: float) -> None:
    """scale: of the logits; the probability of the right class grows with it."""
    (project.folder / "hooks").mkdir(exist_ok=True)
    (project.folder / "hooks/rules.py").write_text(HOOK)
    sources = write_sources(project.folder / "artifacts")
    contract = ClassificationContract.model_validate({**tiny_contract().model_dump(), "filters": FILTERS})
    (sources.export_dir / CONTRACT_FILE).write_text(contract.to_json())
    onnx.save(tiny_graph(contract, scale=scale), sources.export_dir / ONNX_FILE)
    sources.card.write_text(card_text(sources.export_dir / ONNX_FILE))
    project.register_sources(sources)
