"""A model is only loaded if graph, metadata and contract file say the same."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest

from runtime.model.contract import CONTRACT_FILE, CONTRACT_KEY, ONNX_FILE, ContractError
from runtime.model.cores import share_cores, usable_cores
from runtime.model.session import Predictor
from tests.onnx_fixture import COLOURS, tiny_contract, tiny_graph, write_tiny_model


def test_predictor_answers_in_the_order_of_the_batch(tmp_path: Path) -> None:
    contract = write_tiny_model(tmp_path)
    predictor = Predictor.load(tmp_path, device="cpu", threads=1)
    predictor.warm_up()
    order = [2, 0, 1, 1]
    images = np.stack([np.full((16, 24, 3), COLOURS[contract.classes[i]], np.uint8) for i in order])
    outputs = predictor.predict(images)
    assert list(outputs) == list(contract.outputs) == ["probabilities", "logits"]
    probs, logits = outputs.values()
    assert probs.argmax(axis=1).tolist() == order
    assert probs.dtype == logits.dtype == np.float32
    np.testing.assert_allclose(probs, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rtol=1e-5)


def test_many_threads_share_few_sessions_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    contract = write_tiny_model(tmp_path)
    predictor = Predictor.load(tmp_path, device="cpu", threads=1, sessions=3)
    predictor.warm_up()
    assert len(predictor.sessions) == 3

    def ask(i: int) -> bool:
        image = np.full((1 + i % 4, 16, 24, 3), COLOURS[contract.classes[i % 3]], np.uint8)
        probs = predictor.predict(image)["probabilities"]
        return bool((probs.argmax(axis=1) == i % 3).all()) and len(probs) == 1 + i % 4

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(500)))


def test_session_is_given_back_when_a_batch_fails(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    predictor = Predictor.load(tmp_path, device="cpu", threads=1)
    empty = np.zeros((0, 16, 24, 3), np.uint8)
    for _ in range(3):
        with suppress(Exception):  # whether an empty batch is an error is ONNX Runtime's affair
            predictor.predict(empty)
    assert predictor.predict(np.zeros((1, 16, 24, 3), np.uint8))["logits"].shape == (1, 3)


def test_sessions_left_to_choose_share_the_cores(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    assert len(Predictor.load(tmp_path, device="cpu", sessions=0).sessions) == usable_cores()
    assert len(Predictor.load(tmp_path, device="cpu", threads=usable_cores(), sessions=0).sessions) == 1


@pytest.mark.parametrize(
    ("cores", "sessions", "threads", "expected"),
    [
        (8, 0, 0, (8, 1)),
        (8, 0, 3, (2, 3)),
        (8, 3, 0, (3, 2)),
        (8, 1, 0, (1, 8)),
        (2, 0, 4, (1, 4)),
        (2, 5, 0, (5, 1)),
        (2, 5, 7, (5, 7)),
    ],
)
def test_cores_are_shared_without_asking_for_more_than_there_are(
    cores: int, sessions: int, threads: int, expected: tuple[int, int]
) -> None:
    assert share_cores(cores, sessions, threads) == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("99900000 100000", None)]
)
def test_cores_are_limited_by_a_containers_quota(tmp_path: Path, quota: str, expected: int | None) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores(tmp_path) == (expected or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [
        ("100000", "100000", 1),
        ("50000", "100000", 1),
        ("-1", "100000", None),
        ("9990000", "10000", None),
        ("", "", None),
    ],
)
def test_cores_are_limited_by_a_quota_of_the_older_control_groups(
    tmp_path: Path, quota: str, period: str, expected: int | None
) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text(f"{period}\n")
    assert usable_cores(tmp_path) == (expected or len(os.sched_getaffinity(0)))


def test_cores_are_those_of_the_affinity_without_control_groups(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == len(os.sched_getaffinity(0))


def test_contract_file_that_differs_from_the_metadata_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    other = tiny_contract(classes=("red", "blue", "green"))
    (tmp_path / CONTRACT_FILE).write_text(other.to_json(), encoding="utf-8")
    with pytest.raises(ContractError, match=r"classes is \('red', 'blue', 'green'\).*but \('red', 'green', 'blue'\)"):
        Predictor.load(tmp_path)


def test_graph_of_another_input_size_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path, tiny_contract(height=16))
    taller = tiny_contract(height=32)
    graph = onnx.load(tmp_path / ONNX_FILE)
    onnx.helper.set_model_props(graph, {CONTRACT_KEY: taller.to_json()})
    onnx.save(graph, tmp_path / ONNX_FILE)
    (tmp_path / CONTRACT_FILE).write_text(taller.to_json(), encoding="utf-8")
    with pytest.raises(ContractError, match=r"'images' is tensor\(uint8\) \['batch', 16, 24, 3\].*\['batch', 32"):
        Predictor.load(tmp_path)


def test_graph_with_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    contract = write_tiny_model(tmp_path)
    onnx.save(tiny_graph(contract, num_columns=4), tmp_path / ONNX_FILE)
    with pytest.raises(ContractError, match=r"'batch', 4\].*\['batch', 3\]"):
        Predictor.load(tmp_path)


def test_fixed_batch_is_refused(tmp_path: Path) -> None:
    contract = write_tiny_model(tmp_path)
    graph = tiny_graph(contract)
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(graph, tmp_path / ONNX_FILE)
    with pytest.raises(ContractError, match=r"\[1, 16, 24, 3\]"):
        Predictor.load(tmp_path)


def test_swapped_outputs_are_found_by_warming_up(tmp_path: Path) -> None:
    contract = write_tiny_model(tmp_path)
    graph = tiny_graph(contract)
    graph.graph.node[2].output[0], graph.graph.node[3].input[0] = "scores", "scores"
    graph.graph.node.extend([onnx.helper.make_node("Identity", ["scores"], ["probabilities"])])
    graph.graph.node[3].output[0] = "logits"
    onnx.save(graph, tmp_path / ONNX_FILE)
    with pytest.raises(ContractError, match="does not hold probabilities"):
        Predictor.load(tmp_path).warm_up()


@pytest.mark.parametrize("spins", [False, True])
def test_threads_of_an_inference_sleep_while_they_wait_unless_asked_to_spin(tmp_path: Path, spins: bool) -> None:
    write_tiny_model(tmp_path)
    (session,) = Predictor.load(tmp_path, device="cpu", threads=2, spins=spins).sessions
    spinning = session.get_session_options().get_session_config_entry("session.intra_op.allow_spinning")
    assert spinning == str(int(spins))


@pytest.mark.parametrize("content", [b"", b"not a graph"])
def test_broken_model_file_is_refused(tmp_path: Path, content: bytes) -> None:
    write_tiny_model(tmp_path)
    (tmp_path / ONNX_FILE).write_bytes(content)
    with pytest.raises(ContractError, match="cannot be loaded as an ONNX model"):
        Predictor.load(tmp_path)


def test_missing_model_file_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    (tmp_path / ONNX_FILE).unlink()
    with pytest.raises(ContractError, match="cannot read the model"):
        Predictor.load(tmp_path)


@pytest.mark.parametrize("shape", [(16, 24, 3), (1, 3, 16, 24), (1, 24, 16, 3)])
def test_images_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_tiny_model(tmp_path)
    with pytest.raises(ValueError, match=r"expected \(N, 16, 24, 3\) uint8, got"):
        Predictor.load(tmp_path).predict(np.zeros(shape, np.uint8))


def test_loading_prints_nothing_and_hidden_cuda_is_refused_when_asked_for(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    code = (
        "import pathlib, runtime.model.session as s\n"
        f"d = pathlib.Path({str(tmp_path)!r})\n"
        "s.Predictor.load(d, 'auto').warm_up()\n"
        "try: s.Predictor.load(d, 'cuda')\n"
        "except s.DeviceError as e: assert 'VISION_DEVICE=cuda' in str(e)\n"
        "else: raise SystemExit('cuda was not refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"CUDA_VISIBLE_DEVICES": "", "PATH": ""}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_is_kept_or_sent_about_the_use_of_a_model(tmp_path: Path) -> None:
    """ONNX Runtime would keep a device identifier and its events in the home folder until they are sent."""
    write_tiny_model(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    words = (
        "import os, pathlib, runtime.model.session as session; "
        f"session.Predictor.load(pathlib.Path({str(tmp_path)!r}), device='cpu', threads=1).warm_up(); "
        "print(*(os.readlink(f'/proc/self/fd/{number}') for number in range(3, 64) "
        "if os.path.exists(f'/proc/self/fd/{number}')), sep='\\n')"
    )
    # Nothing of the caller's: ONNX Runtime is silent, too, where CI or a test run of its own sets a variable.
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", words], env=environment, capture_output=True, text=True, check=True)
    assert list(home.rglob("*")) == []
    assert str(home) not in done.stdout
