"""Build a training loader for LazyConfigs, which pass settings as arguments instead of config keys."""

from collections.abc import Callable, Sequence
from typing import Any

from detectron2.data import DatasetFromList
from detectron2.utils import comm

from seesaw_d2.data.images.copy_paste import CopyPasteMapper
from seesaw_d2.data.images.image_files import without_missing_images
from seesaw_d2.data.images.mapper import CheckedMapper
from seesaw_d2.data.records.catalog import load_dataset
from seesaw_d2.data.records.concatenated_records import join
from seesaw_d2.data.records.training_records import check_any_left, with_objects
from seesaw_d2.data.sampling.batch_composition import aspect_groups
from seesaw_d2.data.sampling.epoch_samplers import RepeatFactorStream
from seesaw_d2.data.sampling.rare_objects import RareObjects
from seesaw_d2.data.sampling.repeat_factors import image_repeat_factors
from seesaw_d2.data.sampling.train_loader import TrainLoader, digest_of, labels_digest


def build_repeat_factor_loader(
    *,
    names: Sequence[str],
    mapper: Callable[[dict[str, Any]], dict[str, Any]],
    repeat_threshold: float,
    rounding: str = "stochastic",
    frequency: str = "images",
    copy_paste_threshold: float | None = None,
    total_batch_size: int,
    num_workers: int = 0,
    seed: int | None = None,
    aspect_ratio_grouping: bool = True,
    **options: Any,
) -> TrainLoader:
    """Build a training loader with repeat factor sampling that can resume at any batch.

    The datasets are checked, and loaded only once. In Detectron2's LazyConfigs, loader and sampler each load the
    datasets.

    Args:
        names: names of registered datasets. Images without objects are omitted.
        mapper: function that maps a dataset dict to the model's input, such as Detectron2's ``DatasetMapper``.
        repeat_threshold: threshold t >= 0 of the repeat factors max(1, sqrt(t / f)), where f is a category's frequency.
            If 0, images are not repeated.
        rounding: rounding of an image's repeat factor. "stochastic": round randomly in each epoch. "ceil": round up.
        frequency: definition of f. "images": fraction of images with the category. "instances": geometric mean of the
            category's fractions of images and of instances.
        copy_paste_threshold: threshold of Copy-Paste, as in INPUT.COPY_PASTE.THRESHOLD. For Copy-Paste, ``mapper`` must
            return bitmasks. If None, do not paste objects.
        total_batch_size: number of images in a batch over all processes, a multiple of the number of processes.
        num_workers: number of worker processes. If 0, load images in this process.
        seed: seed >= 0 of the image order and the augmentation. If None, draw a random seed that all processes share.
            The LazyConfig key ``train.seed`` replaces this seed.
        aspect_ratio_grouping: if True, each batch contains either only images with width > height, or only others.
        options: further arguments of PyTorch's ``DataLoader``.

    Raises:
        DataError: an annotation file is missing or invalid, image files are missing, or no image has an object.
    """
    loaded = join([load_dataset(name) for name in names])
    records = with_objects(without_missing_images(loaded, list(names), skip=False))
    check_any_left(records, list(names))
    factors = image_repeat_factors(records, repeat_threshold, rounding, frequency=frequency)
    dataset = DatasetFromList(records, copy=False) if isinstance(records, list) else records
    mapper = CheckedMapper(mapper)
    if copy_paste_threshold is not None:
        mapper = CopyPasteMapper(mapper, dataset, RareObjects(records, copy_paste_threshold))
    return TrainLoader(
        dataset,
        mapper,
        RepeatFactorStream(factors, seed=comm.shared_random_seed() if seed is None else seed),
        batch_size=total_batch_size,
        groups=aspect_groups(records) if aspect_ratio_grouping else None,
        num_workers=num_workers,
        digest=digest_of(records),
        labels=labels_digest(records),
        **options,
    )
