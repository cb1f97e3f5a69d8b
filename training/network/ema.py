"""A moving average of the weights, which is what is measured and kept when `train.ema_decay` is above 0."""

from timm.utils.model_ema import ModelEmaV3

from training.network.classifier import Classifier


class WeightAverage:
    """timm's ModelEmaV3 with warm-up: at step s the decay is at most 1 - s ** (-2/3), so that early weights fade."""

    def __init__(self, model: Classifier, decay: float) -> None:
        self._ema = ModelEmaV3(model, decay=decay, use_warmup=True)
        self.model: Classifier = self._ema.module
        self.model.requires_grad_(False)

    def update(self, model: Classifier, step: int) -> None:
        """Move towards the model's weights after optimiser step `step`, counted from 1 over the whole run."""
        self._ema.update(model, step)
