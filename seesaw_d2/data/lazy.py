"""The training loader as a LazyConfig describes it: by plain arguments."""

from collections.abc import Callable, Sequence
from typing import Any

from detectron2.data import build_detection_train_loader
from detectron2.data.build import filter_images_with_only_crowd_annotations
from detectron2.data.samplers import RepeatFactorTrainingSampler

from seesaw_d2.data.catalog import load_dataset
from seesaw_d2.data.loading import check_any_left, without_missing_images
from seesaw_d2.data.mapper import CheckedMapper
from seesaw_d2.data.sampling import image_repeat_factors


def build_repeat_factor_loader(
    *,
    names: Sequence[str],
    mapper: Callable[[dict[str, Any]], dict[str, Any]],
    repeat_threshold: float,
    rounding: str = "stochastic",
    total_batch_size: int,
    num_workers: int = 0,
    **options: Any,
):
    """Detectron2's training loader with repeat factor sampling, around checked data that are read once.

    (In Detectron2's own LazyConfigs the sampler refers to the data set, which is so loaded twice.)

    Args:
        names: of registered data sets; images without objects are left out.
        mapper: of a record to the model's input, such as Detectron2's ``DatasetMapper``.
        repeat_threshold: t >= 0; 0 repeats nothing.
        rounding: "stochastic" or "ceil", as DATALOADER.REPEAT_ROUNDING.
        total_batch_size, num_workers, options: of ``build_detection_train_loader``.

    Raises:
        DataError: an annotation file or image files are missing or wrong, or there is nothing to train on.
    """
    loaded = [record for name in names for record in load_dataset(name)]
    present = without_missing_images(loaded, list(names), skip=False)
    records = filter_images_with_only_crowd_annotations(list(present))
    check_any_left(records, list(names))
    sampler = RepeatFactorTrainingSampler(image_repeat_factors(records, repeat_threshold, rounding))
    return build_detection_train_loader(
        records,
        mapper=CheckedMapper(mapper),
        sampler=sampler,
        total_batch_size=total_batch_size,
        num_workers=num_workers,
        **options,
    )
