"""Check the datasets of a job before the job computes or writes anything."""

import functools
import logging
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from seesaw_d2.data.classification.sources import EVALUATOR_TYPE
from seesaw_d2.data.images.headers import check_headers
from seesaw_d2.data.images.image_files import without_missing_images
from seesaw_d2.data.images.resizing import validate_resizing
from seesaw_d2.data.records.catalog import categories_of, check_registered, class_names, load_dataset
from seesaw_d2.data.records.category_counts import CategoryStatistics, first_difference
from seesaw_d2.data.records.semantic import check_label_maps, semantic_classes
from seesaw_d2.data.records.statistics import dataset_statistics
from seesaw_d2.data.records.training_records import check_any_left, check_trainable, trained_records
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.frequency_groups import frequency_groups
from seesaw_d2.utils.category_names import Categories, check_order
from seesaw_d2.utils.messages import warn_once

logger = logging.getLogger(__name__)


def validate_datasets(
    cfg: CfgNode, *, training: bool = True, num_classes_key: str = "MODEL.ROI_HEADS.NUM_CLASSES"
) -> None:
    """Check the annotation files, images and categories of the datasets of a detection job.

    The function reads annotation files and image headers, but decodes no images. The category counts are cached for
    later calls of ``training_statistics``.

    Args:
        cfg: a config whose datasets are registered (``register_datasets(cfg)``).
        training: if True, check DATASETS.TRAIN and DATASETS.TEST. If False, check only DATASETS.TEST, for an
            evaluation.
        num_classes_key: config key with the model's number of categories.

    Raises:
        ConfigError: a list of datasets is empty, a name is unknown, the datasets and the model have different
            categories, INPUT.RESIZE is invalid, or INPUT.MASK_FORMAT does not match the masks.
        DataError: an annotation file is missing or invalid, image files are missing or do not have the annotated size,
            or no image has an object for training.
    """
    validate_resizing(cfg)
    used = used_datasets(cfg, training=training, classification=False)
    some_left: list[dict] = []

    def check(cfg, name, records):
        if ("DATASETS.TRAIN", name) in used:
            check_trainable(cfg, name, records)
            some_left.extend(trained_records(cfg, records)[:1])
        # Check image sizes only for datasets with an annotation file. Other datasets have a custom loader, whose
        # mapper may read other files than "file_name".
        if MetadataCatalog.get(name).get("json_file"):
            check_headers(records, name, skip=cfg.DATALOADER.SKIP_BAD_IMAGES)

    for name in dict.fromkeys(name for _, name in used):
        validate_images(cfg, name, check=check)
    if training:
        check_any_left(some_left, list(cfg.DATASETS.TRAIN))
    check_categories(cfg, used, num_classes_key)


def validate_semantic(cfg: CfgNode, *, training: bool = True) -> None:
    """Check the images and label maps of the datasets of a semantic segmentation job.

    Args:
        cfg: a config whose datasets are registered (``register_datasets(cfg)``).
        training: if True, check DATASETS.TRAIN and DATASETS.TEST. If False, check only DATASETS.TEST.

    Raises:
        ConfigError: a list of datasets is empty, a name is unknown, the datasets and the model have different
            classes, or INPUT.RESIZE is invalid.
        DataError: an annotation file, an image file or a label map is missing or invalid.
    """
    validate_resizing(cfg)
    used = used_datasets(cfg, training=training, classification=False)
    for name in dict.fromkeys(name for _, name in used):
        records = without_missing_images(load_dataset(name), [name], skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
        check_headers(records, name, skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
    validate_label_maps(cfg, training=training)


def validate_label_maps(cfg: CfgNode, *, training: bool = True) -> None:
    """Check that every image has a label map, and that the model and the datasets have the same number of classes.

    Args:
        cfg: a config whose datasets are registered (``register_datasets(cfg)``).
        training: if True, check DATASETS.TRAIN and DATASETS.TEST. If False, check only DATASETS.TEST.

    Raises:
        ConfigError: MODEL.SEM_SEG_HEAD.NUM_CLASSES differs from the number of classes in a dataset, or the datasets
            have different classes.
        DataError: a label map is missing, is not an 8-bit grayscale image, or differs in size from the image.
    """
    known: dict[str, tuple[str, ...]] = {}
    for _, name in used_datasets(cfg, training=training, classification=False):
        check_label_maps(load_dataset(name), name)
        if classes := semantic_classes(name):
            known[name] = classes.names
    key, count = "MODEL.SEM_SEG_HEAD.NUM_CLASSES", cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    for name, names in known.items():
        if len(names) != count:
            raise ConfigError(
                f"{key} is {count}, but dataset {name!r} has {len(names)} semantic classes. Set {key} {len(names)}."
            )
        if names != next(iter(known.values())):
            first = next(iter(known))
            raise ConfigError(
                "DATASETS.TRAIN, DATASETS.TEST: all datasets must have the same semantic classes in the same order, "
                f"but {first!r} and {name!r} differ: {first_difference(known[first], names)}"
            )


def used_datasets(cfg: CfgNode, *, training: bool, classification: bool) -> list[tuple[str, str]]:
    """Return the datasets that a job uses, as pairs such as ("DATASETS.TRAIN", "lvis_v1_train").

    Args:
        cfg: a config whose datasets are registered.
        training: if True, use DATASETS.TRAIN and DATASETS.TEST. If False, use only DATASETS.TEST.
        classification: if True, the model classifies images. If False, the model detects objects.

    Raises:
        ConfigError: the list of datasets is empty, a name is unknown, DATASETS.FREQUENCY_THRESHOLDS is invalid, or a
            dataset does not fit the model (detection or classification).
    """
    frequency_groups([], tuple(cfg.DATASETS.FREQUENCY_THRESHOLDS))  # raises ConfigError for invalid thresholds
    used = [("DATASETS.TRAIN", name) for name in cfg.DATASETS.TRAIN] if training else []
    used += [("DATASETS.TEST", name) for name in cfg.DATASETS.TEST]
    needed = "DATASETS.TRAIN" if training else "DATASETS.TEST"
    if not any(key == needed for key, _ in used):
        raise ConfigError(f"{needed}: expected at least one dataset, found an empty list")
    kinds = {False: "detection", True: "classification"}
    for key, name in used:
        check_registered(name, key)
        found = MetadataCatalog.get(name).get("evaluator_type") == EVALUATOR_TYPE
        if found != classification:
            raise ConfigError(
                f"{key}: expected {kinds[classification]} datasets, found the {kinds[found]} dataset {name!r}. "
                f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} needs {kinds[classification]} datasets."
            )
    return used


def validate_images(cfg: CfgNode, name: str, check=None) -> CategoryStatistics | None:
    """Load a dataset, check that its image files exist, and count the images and instances of each category.

    Args:
        cfg: a config whose datasets are registered.
        name: name of the dataset.
        check: function for further checks, called as ``check(cfg, name, records)``. It receives only the dataset dicts
            whose image file exists. If None, there are no further checks.

    Returns:
        the counts, or None if the dataset has no category names.
    """
    records = load_dataset(name)
    present = without_missing_images(records, [name], skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
    if check is not None:
        check(cfg, name, present)
    return dataset_statistics(name, records) if class_names(name) else None


def check_categories(cfg: CfgNode, used: list[tuple[str, str]], key_of_number: str) -> None:
    """Raise ConfigError if datasets have different categories, or if the model has another number of categories.

    If only DATASETS.TEST is used, the categories are also compared with DATASETS.TRAIN (``check_training_order``).

    Args:
        cfg: a config whose datasets are registered.
        used: pairs (config key, name of the dataset), as returned by ``used_datasets``.
        key_of_number: config key with the model's number of categories, such as "MODEL.ROI_HEADS.NUM_CLASSES".
    """
    known = [(key, name, class_names(name)) for key, name in used if class_names(name)]
    if not known:
        return
    first_key, first, expected = known[0]
    for key, name, found in known[1:]:
        if list(found) != list(expected):
            raise ConfigError(
                f"{key}: all datasets must have the same categories in the same order, but {first!r} ({first_key}) "
                f"and {name!r} ({key}) differ: {first_difference(expected, found)}"
            )
    num_classes = functools.reduce(getattr, key_of_number.split("."), cfg)
    if num_classes != len(expected):
        raise ConfigError(
            f"{key_of_number} is {num_classes}, but dataset {first!r} ({first_key}) has {len(expected)} categories. "
            f"Set {key_of_number} {len(expected)}."
        )
    if first_key != "DATASETS.TRAIN":
        check_training_order(cfg, Categories(tuple(expected), f"dataset {first!r} ({first_key})"))


def check_training_order(cfg: CfgNode, tested: Categories, ids: Sequence[int] | None = None) -> None:
    """Raise ConfigError if a category has different class indices in a training set and in the evaluated dataset.

    If category names differ, but no name has moved to another index, log a warning. Training sets that cannot be read
    are skipped.

    Args:
        cfg: config with the training sets in DATASETS.TRAIN.
        tested: category names of the evaluated dataset, in the order of class indices.
        ids: category ids of ``tested``. If a training set has another number of categories, compare only the categories
            whose ids occur in both datasets. If None, skip training sets with another number of categories.
    """
    for name in cfg.DATASETS.TRAIN:
        try:
            trained = categories_of(name, "DATASETS.TRAIN")
        except SeesawError as error:
            warn_once(logger, f"DATASETS.TRAIN: cannot compare the categories of dataset {name!r}: {error}")
            continue
        if trained is None:
            continue
        pair = trained, tested
        if ids is not None and len(trained.names) != len(tested.names):
            pair = _with_common_ids(name, trained, tested, ids)
        if warning := check_order(*pair):
            warn_once(logger, warning)


def _with_common_ids(name: str, trained: Categories, tested: Categories, ids: Sequence[int]) -> list[Categories]:
    """Restrict the category names of two datasets to the categories whose ids occur in both datasets.

    Args:
        name: name of the training set.
        trained: categories of the training set.
        tested: categories of the evaluated dataset.
        ids: category ids of ``tested``, in the same order.

    Returns:
        a list with the remaining training categories and the remaining evaluated categories.
    """
    index_of = MetadataCatalog.get(name).get("thing_dataset_id_to_contiguous_id") or {}
    pairs = [(trained.names[index_of[key]], tested.names[place]) for place, key in enumerate(ids) if key in index_of]
    sides = zip(*pairs, strict=True) if pairs else ((), ())
    return [Categories(side, each.source) for side, each in zip(sides, (trained, tested), strict=True)]
