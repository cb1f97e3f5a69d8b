"""Which models a Bento serves that is put under load, and where they lie."""

from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException, NotFound

from runtime.model.contract import CONTRACT_FILE, ContractError, read_contract
from runtime.model.roles import role_of
from runtime.serving.model_reference import ModelUnavailable, find_model


class BenchmarkError(ValueError):
    """The benchmark cannot run; the message says what to do."""


def resolve(bento: str, model: str) -> tuple[str, str, Path]:
    """Return what `bentoml serve` is given, the model's tag and its folder; the model is the Bento's own.

    bento: a tag in the store, or the project's folder, which serves `model`. Raises BenchmarkError.
    """
    try:
        if Path(bento).is_dir():
            tag = model
            target = str(Path(bento).resolve())
        else:
            found = bentoml.bentos.get(bento)
            target, tag = str(found.tag), str(found.info.all_models[0].tag)
        held = find_model(tag)
    except (NotFound, ModelUnavailable, BentoMLException, FileNotFoundError) as exc:
        raise BenchmarkError(f"cannot serve {bento}: {exc}; `make bento` builds one") from exc
    return target, str(held.tag), Path(held.path)


def segmenter_of(bento: str) -> tuple[str, str, Path]:
    """Return the Bento's tag, its segmenter's tag and that one's folder.

    Raises BenchmarkError if there is no such Bento or if it holds no segmenter.
    """
    try:
        found = bentoml.bentos.get(bento)
        models = [bentoml.models.get(info.tag) for info in found.info.all_models]
        for model in models:
            if read_contract(Path(model.path) / CONTRACT_FILE).task == "segmentation":
                return str(found.tag), str(model.tag), Path(model.path)
    except (NotFound, BentoMLException, ContractError, FileNotFoundError) as exc:
        raise BenchmarkError(f"cannot serve {bento}: {exc}; `make bento TASK=segment` builds one") from exc
    raise BenchmarkError(f"{found.tag} holds no segmenter: `make bento TASK=segment` builds one that does")


def pipeline_of(bento: str) -> tuple[str, dict[str, Path], list[str]]:
    """Return the Bento's tag, the folders of its detector (`detect`) and classifier of crops (`classify`), their tags.

    Raises BenchmarkError if there is no such Bento or if it holds only one of them.
    """
    stages = {"detection": "detect", "crop-classification": "classify"}
    folders: dict[str, Path] = {}
    tags: dict[str, str] = {}
    try:
        found = bentoml.bentos.get(bento)
        for info in found.info.all_models:
            model = bentoml.models.get(info.tag)
            role = role_of(read_contract(Path(model.path) / CONTRACT_FILE))
            if role in stages:
                folders[stages[role]], tags[stages[role]] = Path(model.path), str(model.tag)
    except (NotFound, BentoMLException, ContractError, FileNotFoundError) as exc:
        raise BenchmarkError(f"cannot serve {bento}: {exc}; `make bento TASK=detect` builds one") from exc
    if set(folders) != set(stages.values()):
        raise BenchmarkError(
            f"{found.tag} holds no detector with a classifier of crops beside it: `make bento TASK=detect` builds one "
            "where both are registered; without --bento untrained models are taken"
        )
    return str(found.tag), folders, list(tags.values())
