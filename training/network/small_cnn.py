"""`two_layer_cnn`: what pictures teach a small network from nothing, to see what pretrained weights are worth.

Importing this module makes the name known to timm, so `model.backbone: two_layer_cnn` works wherever a backbone does.
"""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

default_cfgs = generate_default_cfgs(
    {
        "two_layer_cnn": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (28, 28),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "first_conv": "conv1",
            "classifier": "head",
        }
    }
)


class TwoLayerCnn(nn.Module):
    """Two convolutions, each with ReLU and a pooling by 2, then the mean over the picture and one linear layer.

    No BatchNorm: training freezes its statistics as pretrained, and here nothing is.
    """

    num_features = 64
    head_hidden_size = 64

    def __init__(self, num_classes: int = 1000, in_chans: int = 3, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.conv1 = nn.Conv2d(in_chans, 32, kernel_size=5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(32, self.num_features, kernel_size=3, padding=1)
        self.drop = nn.Dropout(drop_rate)
        self.head = nn.Linear(self.num_features, num_classes)

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """`(n, 3, height, width)` to `(n, 64, height / 8, width / 8)`."""
        features = nn.functional.max_pool2d(self.conv1(images).relu(), 2)
        return nn.functional.max_pool2d(self.conv2(features).relu(), 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.drop(self.forward_features(images).mean(dim=(2, 3))))
        return logits

    def get_classifier(self) -> nn.Module:
        return self.head

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Name the layers from input to output, as timm's rates by layer count them."""
        return {"stem": r"^conv1", "blocks": r"^conv(2)" if coarse else [(r"^conv2", (0,))]}


@register_model  # type: ignore[untyped-decorator]
def two_layer_cnn(pretrained: bool = False, **options: Any) -> nn.Module:
    """Build the network; it has no pretrained weights."""
    model: nn.Module = build_model_with_cfg(TwoLayerCnn, "two_layer_cnn", pretrained, **options)
    return model
