"""The pictures of a run as `params.yaml` asks for them: augmented and mixed for training, plain for validation."""

from dataset.manifest import Manifest
from runtime.model.contract import ModelContract
from training.data.augmentation import Augmentation
from training.data.cache import PictureCache, create_caches, zoom_of
from training.data.mixing import Mixing
from training.data.tensors import PictureDataset
from training.params import Params


def training_pictures(train: Manifest, contract: ModelContract, params: Params, num_epochs: int) -> PictureDataset:
    """num_epochs: of the whole run as planned, whose last ones may be without augmentation."""
    (cache,) = create_caches([train], contract, params.train, [zoom_of(params.augment)])
    return _augmented(train, contract, params, num_epochs, cache)


def pictures_of_run(
    train: Manifest, val: Manifest, contract: ModelContract, params: Params, num_epochs: int
) -> tuple[PictureDataset, PictureDataset]:
    """Return pictures for training and for validation; both caches together hold `train.cache_max_gib`.

    Validation is never augmented: it has the same bits as the service sees, with or without the cache.
    """
    train_cache, val_cache = create_caches([train, val], contract, params.train, [zoom_of(params.augment), 1.0])
    return _augmented(train, contract, params, num_epochs, train_cache), PictureDataset(val, contract, cache=val_cache)


def _augmented(
    train: Manifest, contract: ModelContract, params: Params, num_epochs: int, cache: PictureCache | None
) -> PictureDataset:
    draw = (params.augment, params.train.seed, num_epochs)
    return PictureDataset(train, contract, Augmentation(*draw), Mixing(*draw), cache)
