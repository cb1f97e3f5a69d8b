"""Node-hours by arithmetic from rates, and rates from a real, tiny measurement."""

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import plan
from benchmarks.plan import capacities, cost, nodes_that_fill
from benchmarks.rates.in_process_rates import Rate
from benchmarks.rates.node_rates import DECODE, INFER, READ, SCORE, NodeRates, _to_node_rates, sample
from runtime.model.session import Predictor
from scoring.pipeline import Scorer
from tests.onnx_fixture import COLOURS, write_tiny_model

CPU_NODE = NodeRates(
    device="cpu", cores=4, num_sampled=9, bytes_per_picture=2**20 / 4, read_mib_s=100, decode_per_core=100, infer=100,
    score=70,
)  # fmt: skip


def test_node_hours_follow_from_the_rate_of_all_steps() -> None:
    found = cost(CPU_NODE, num_pictures=7 * 3600 * 100, nodes=2, shared_mib_s=0)
    assert (found.pictures_per_s, found.hours, found.node_hours) == (140, 5, 10)


def test_cores_that_do_both_end_first_and_the_greedier_step_is_named() -> None:
    # 4 cores decode 400 a second or infer 100: 80 a second of both, four fifths of it inference.
    assert capacities(CPU_NODE, 1, 0)["cores, 80% of their time for inference"] == pytest.approx(80)
    assert cost(CPU_NODE, 1, 1, 0).first_to_end == "cores, 80% of their time for inference"


def test_a_shared_disk_ends_first_once_there_are_enough_nodes() -> None:
    few, many = (cost(CPU_NODE, 10**6, nodes, shared_mib_s=100) for nodes in (2, 16))
    assert few.first_to_end.startswith("cores")
    assert (many.first_to_end, many.pictures_per_s) == ("the disk or network that nodes share", 400)
    assert nodes_that_fill(CPU_NODE, 100) == pytest.approx(400 / 70)


def test_on_a_gpu_decoding_and_inference_do_not_share() -> None:
    node = CPU_NODE.model_copy(update={"device": "cuda", "infer": 5000, "score": 300, "read_mib_s": 1000})
    assert cost(node, 1, 1, 0).first_to_end == "cores for decoding"
    assert cost(node.model_copy(update={"read_mib_s": 20}), 1, 1, 0).first_to_end == "each node's disk or network"


def test_the_sample_is_even_and_the_same_every_time(tmp_path: Path) -> None:
    source = tmp_path / "list.txt"
    source.write_text("".join(f"{number}\n" for number in range(1000)))
    drawn = sample(source, 100)
    assert drawn == sample(source, 100)
    assert len(set(drawn)) == 100
    assert 35 <= sum(int(name) < 500 for name in drawn) <= 65


def test_the_rates_of_small_pictures_on_a_slow_disk_are_not_rounded_to_none(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    scorer = Scorer.of(Predictor.load(tmp_path, device="cpu", threads=1), "tiny:1")
    slow = {name: Rate(name, 0.004, 0.004, 0.004) for name in (READ, DECODE, INFER, SCORE)}
    rates = _to_node_rates(slow, [bytes(100), bytes(101)], scorer)
    assert rates.read_mib_s == pytest.approx(0.004 * 100.5 / 2**20, rel=1e-5)
    assert cost(rates, num_pictures=1, nodes=1, shared_mib_s=0).hours >= 1 / 0.004 / 3600


def test_a_node_is_measured_and_its_rates_can_be_used_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.rates.in_process_rates.MIN_ROUND_S", 0.01)
    write_tiny_model(tmp_path / "model")
    for number in range(6):
        Image.new("RGB", (40, 30), COLOURS["red"]).save(tmp_path / f"{number}.png")
    out = tmp_path / "out/plan.json"
    measured = ["--source", str(tmp_path), "--model", str(tmp_path / "model"), "--sample", "4", "--rounds", "1"]
    assert plan.main(["--pictures", "1000", "--nodes", "1", "3", "--out", str(out), *measured]) == 0
    found = json.loads(out.read_text())
    assert found["rates"]["num_sampled"] == 4
    assert min(found["rates"][name] for name in ("read_mib_s", "decode_per_core", "infer", "score")) > 0
    assert [one["nodes"] for one in found["costs"]] == [1, 3]
    assert "ends first" in capsys.readouterr().out
    again = ["--rates", str(out.parent / "node_rates.json"), "--out", str(out)]
    assert plan.main(["--pictures", "2000", "--nodes", "1", *again]) == 0
    assert json.loads(out.read_text())["rates"] == found["rates"]


def test_wrong_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.main(["--pictures", "1", "--rates", str(tmp_path / "none.json")]) == 2
    assert "none.json holds no rates" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        plan.main(["--pictures", "0"])
