"""What a step does to the weights, whatever it is computed in."""

from typing import Any

import pytest
import torch

from training.data.tensors import Batch
from training.engine_params import PhaseParams
from training.network.classifier import Classifier, create_backbone
from training.network.ema import WeightAverage
from training.network.losses import classifier_loss, one_hot
from training.params import ModelParams, TrainParams
from training.process.distributed import single_worker
from training.run.early_stopping import EarlyStopping
from training.run.step import Learner

ALL = PhaseParams(trainable="all", epochs=1, lr=0.01, warm_up=0)
LOSS = classifier_loss("cross_entropy", torch.ones(3), 0.0, 0.0)


def _batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels = torch.arange(8) % 3
    return Batch(images, labels, torch.arange(8), one_hot(labels, 3))


def _model(channels_last: bool = True) -> Classifier:
    torch.manual_seed(0)
    params = ModelParams(backbone="test_efficientnet", pretrained="none", drop_rate=0)
    backbone, mean, std, _ = create_backbone(params, 3)
    return Classifier(backbone, mean, std, channels_last)


def _learner(model: Classifier, average: WeightAverage | None = None, **options: Any) -> Learner:
    params = TrainParams(
        seed=0, batch_size=8, phases=(ALL,), weight_decay=0, label_smoothing=0, class_weight_power=0, **options
    )
    return Learner(model, model, ALL, params, 10, LOSS, single_worker(), average)


def _after(num_steps: int, model: Classifier, **options: Any) -> list[torch.Tensor]:
    learner = _learner(model, **options)
    for step in range(1, num_steps + 1):
        learner.step(_batch(), step, step - 1)
    return [parameter.detach().clone() for parameter in model.parameters()]


def _distance(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    pairs = zip(ours, theirs, strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def test_a_step_is_adamw_on_the_mean_loss() -> None:
    reference = _model()
    optimiser = torch.optim.AdamW(reference.parameters(), lr=0.01, weight_decay=0)
    LOSS(reference(_batch().images), _batch().targets).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    assert _distance(_after(1, _model()), [p.detach() for p in reference.parameters()]) < 1e-6


def test_accumulation_changes_nothing_but_the_order_of_sums() -> None:
    model, parts = _model(), _model()
    whole, norm = _learner(model).step(_batch(), 1, 0)
    summed, norm_of_parts = _learner(parts, accumulation=4).step(_batch(), 1, 0)
    assert float(summed) == pytest.approx(float(whole), rel=1e-5)
    assert float(norm_of_parts) == pytest.approx(float(norm), rel=1e-4)
    pairs = zip(model.parameters(), parts.parameters(), strict=True)
    assert all(torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-6) for a, b in pairs)  # type: ignore[arg-type]


def test_clipping_bounds_the_norm_that_it_reports_unclipped() -> None:
    free, bound = _model(), _model()
    _, norm = _learner(free).step(_batch(), 1, 0)
    _, reported = _learner(bound, clip_grad_norm=0.01).step(_batch(), 1, 0)
    assert float(reported) == float(norm) > 0.01
    clipped = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in bound.parameters() if p.grad is not None]))
    assert float(clipped) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_computes_in_its_format_and_keeps_weights_in_fp32(precision: str) -> None:
    model = _model()
    formats = set()
    layer = model.backbone.get_submodule("conv_head")
    layer.register_forward_hook(lambda _module, _inputs, output: formats.add(output.dtype))
    learner = _learner(model, precision=precision)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    loss, norm = learner.step(_batch(), 1, 0)
    assert formats == {torch.bfloat16 if precision == "bf16" else torch.float16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    exact, exact_norm = _learner(_model()).step(_batch(), 1, 0)
    assert float(loss) == pytest.approx(float(exact), rel=0.02)
    assert float(norm) == pytest.approx(float(exact_norm), rel=0.1)  # of the unscaled gradient
    assert _distance(before, [parameter.detach() for parameter in model.parameters()]) > 0.001
    assert learner.precision.scaler.is_enabled() == (precision == "fp16")


def test_fp16_skips_a_step_that_overflowed_and_lowers_its_scale() -> None:
    model = _model()
    learner = _learner(model, precision="fp16")
    learner.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    _, norm = learner.step(_batch(), 1, 0)
    assert not norm.isfinite()
    assert _distance(before, [parameter.detach() for parameter in model.parameters()]) == 0
    assert learner.precision.scaler.get_scale() == 2.0**39


def test_memory_layout_changes_nothing_that_is_computed() -> None:
    one, other = _model(channels_last=True), _model(channels_last=False)
    first, second = (model.get_parameter("backbone.conv_stem.weight") for model in (one, other))
    assert first.stride() != second.stride()
    assert _distance(_after(1, one), _after(1, other)) < 0.02  # AdamW's first step is lr times the gradient's sign
    images = _batch().images
    assert torch.allclose(_model(channels_last=True)(images), _model(channels_last=False)(images), atol=1e-4)


def test_the_average_follows_the_weights_slower_the_later_it_is() -> None:
    model = _model()
    average = WeightAverage(model, decay=0.9)
    learner = _learner(model, average)
    weight = model.head_parameters()[0]
    expected = weight.detach().clone()
    for step in range(1, 6):
        learner.step(_batch(), step, step - 1)
        decay = min(0.9, 1 - (1 + (step - 1)) ** (-2 / 3)) if step > 1 else 0.0
        expected = decay * expected + (1 - decay) * weight.detach()
    averaged = average.model.head_parameters()[0]
    assert torch.allclose(averaged, expected, atol=1e-6)
    assert not torch.allclose(averaged, weight.detach(), atol=1e-4)
    assert not averaged.requires_grad


def test_a_phase_is_over_after_so_many_epochs_without_a_better_one() -> None:
    stopping = EarlyStopping(patience_epochs=2)
    assert [stopping.is_over(score) for score in (0.3, 0.5, 0.4, 0.6, 0.6, 0.5)] == [False] * 5 + [True]
    never = EarlyStopping(patience_epochs=0)
    assert not any(never.is_over(0.0) for _ in range(50))
