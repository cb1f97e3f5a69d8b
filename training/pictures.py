"""The pictures of a run as `params.yaml` asks for them: augmented and mixed for training, plain for validation."""

from dataset.manifest import Manifest
from runtime.contract import ModelContract
from training.augmentation import Augmentation
from training.cache import create_cache, zoom_of
from training.data import PictureDataset
from training.mixing import Mixing
from training.params import Params


def training_pictures(train: Manifest, contract: ModelContract, params: Params, num_epochs: int) -> PictureDataset:
    """num_epochs: of the whole run as planned, whose last ones may be without augmentation."""
    draw = (params.augment, params.train.seed, num_epochs)
    cache = create_cache(train, contract, params.train, zoom_of(params.augment))
    return PictureDataset(train, contract, Augmentation(*draw), Mixing(*draw), cache)


def validation_pictures(val: Manifest, contract: ModelContract, params: Params) -> PictureDataset:
    """Never augmented; the same bits as the service sees, with or without the cache."""
    return PictureDataset(val, contract, cache=create_cache(val, contract, params.train, 1.0))
