"""A graph of segmentation behind its contract: its four outputs, in order, of the types and ranges that it states."""

from pathlib import Path

import bentoml
import numpy as np
import onnx
import pytest

from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ContractError, read_contract
from runtime.model.session import Predictor
from tests.bentoml_home import bentoml_home
from tests.onnx_segmenter import draw_spots, segmentation_contract, segmenter_graph, store_segmenter, write_segmenter


def test_what_is_coloured_is_found_where_it_is_and_named(tmp_path: Path) -> None:
    contract = write_segmenter(tmp_path)
    predictor = Predictor.load(tmp_path, device="cpu", threads=1)
    predictor.warm_up()
    pictures = [
        draw_spots(64, 48, [("red", (10, 6, 30, 26)), ("blue", (40, 30, 46, 36))]),
        draw_spots(64, 48, []),
        draw_spots(64, 48, [("blue", (0, 0, 64, 48))]),
    ]
    outputs = predictor.predict(np.stack([np.asarray(picture) for picture in pictures]))
    assert list(outputs) == list(contract.outputs) == ["probabilities", "logits", "region_map", "foreground"]
    regions, foreground = outputs["region_map"], outputs["foreground"]
    assert regions.dtype == np.uint8
    assert foreground.dtype == np.float32
    final = np.where(foreground >= contract.threshold, regions, 0)
    assert [final[0, 16, 20], final[0, 33, 43], final[0, 40, 8]] == [2, 1, 0]
    assert (final[0] == 2).sum() == pytest.approx(np.pi * 10**2, rel=0.02)
    assert not final[1].any()
    assert [contract.classes[i] for i in outputs["probabilities"].argmax(axis=1)] == ["red", "grey", "blue"]


def test_a_graph_whose_outputs_are_no_probabilities_is_found_when_it_is_warmed_up(tmp_path: Path) -> None:
    write_segmenter(tmp_path, scale=float("nan"))
    with pytest.raises(ContractError, match="output 'probabilities' does not hold probabilities"):
        Predictor.load(tmp_path, device="cpu", threads=1).warm_up()


def test_a_region_that_no_name_stands_for_is_found_when_it_is_warmed_up(tmp_path: Path) -> None:
    contract = segmentation_contract(regions=("spot",))
    write_segmenter(tmp_path, contract)  # the graph calls red 2
    with pytest.raises(ContractError, match="output 'region_map' holds 2 to 2, not 1 to 1"):
        Predictor.load(tmp_path, device="cpu", threads=1).warm_up()


def test_a_graph_of_another_task_than_its_contract_is_refused(tmp_path: Path) -> None:
    contract = write_segmenter(tmp_path)
    graph = segmenter_graph(contract)
    del graph.graph.output[2:]
    onnx.save(graph, tmp_path / ONNX_FILE)
    with pytest.raises(ContractError, match=r"has outputs \['logits', 'probabilities'\], expected \['foreground'"):
        Predictor.load(tmp_path, device="cpu", threads=1)


def test_the_store_has_it_by_its_contracts_name(tmp_path: Path) -> None:
    with bentoml_home(tmp_path):
        tag = store_segmenter(segmentation_contract(resize="letterbox"))
        assert tag.startswith("vision-segmenter:")
        stored = Path(bentoml.models.get("vision-segmenter:latest").path)
        assert read_contract(stored / CONTRACT_FILE).resize == "letterbox"
        Predictor.load(stored, device="cpu", threads=1).warm_up()
