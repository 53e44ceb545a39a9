"""Check the data sets of a job before it computes or writes anything."""

import functools
import itertools
import logging
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from seesaw_d2.data.classification.sources import EVALUATOR_TYPE
from seesaw_d2.data.images.headers import check_headers
from seesaw_d2.data.images.image_files import without_missing_images
from seesaw_d2.data.images.resizing import validate_resizing
from seesaw_d2.data.records.catalog import categories_of, check_registered, class_names, load_dataset
from seesaw_d2.data.records.category_counts import CategoryStatistics
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
    """Check the data sets of DATASETS.TRAIN (if training) and DATASETS.TEST: files, images, categories.

    It reads annotation files and image headers (see ``check_headers``) without decoding pixels. The category counts are
    cached for ``training_statistics``.

    Args:
        cfg: a config whose data sets are registered (``register_datasets(cfg)``).
        training: if True, check both; if False, check only DATASETS.TEST, for an evaluation.
        num_classes_key: config key of the model's number of categories.

    Raises:
        ConfigError: a list is empty, a name is unknown, the model's number of categories differs from the data's,
            the data sets differ in their categories, or another key contradicts the data.
        DataError: an annotation file is missing or wrong, image files are missing or do not match their
            annotations, or there is no object to train on.
    """
    validate_resizing(cfg)
    used = used_datasets(cfg, training=training, classification=False)
    some_left: list[dict] = []

    def check(cfg, name, records):
        if ("DATASETS.TRAIN", name) in used:
            check_trainable(cfg, name, records)
            some_left.extend(trained_records(cfg, records)[:1])
        # A data set without this file has a custom loader, and possibly a mapper that reads other files.
        if MetadataCatalog.get(name).get("json_file"):
            check_headers(records, name, skip=cfg.DATALOADER.SKIP_BAD_IMAGES)

    for name in dict.fromkeys(name for _, name in used):
        validate_images(cfg, name, check=check)
    if training:
        check_any_left(some_left, list(cfg.DATASETS.TRAIN))
    check_categories(cfg, used, num_classes_key)


def validate_semantic(cfg: CfgNode, *, training: bool = True) -> None:
    """Check the data sets of semantic segmentation, like ``validate_datasets`` but for label maps.

    Raises:
        ConfigError, DataError: see ``validate_datasets`` and ``validate_label_maps``.
    """
    validate_resizing(cfg)
    used = used_datasets(cfg, training=training, classification=False)
    for name in dict.fromkeys(name for _, name in used):
        records = without_missing_images(load_dataset(name), [name], skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
        check_headers(records, name, skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
    validate_label_maps(cfg, training=training)


def validate_label_maps(cfg: CfgNode, *, training: bool = True) -> None:
    """Check that every image has a label map, and that the model has the classes of the data sets.

    Raises:
        ConfigError: MODEL.SEM_SEG_HEAD.NUM_CLASSES is not the number of classes, or the data sets differ in their
            classes.
        DataError: see ``check_label_maps``.
    """
    known: dict[str, tuple[str, ...]] = {}
    for _, name in used_datasets(cfg, training=training, classification=False):
        check_label_maps(load_dataset(name), name)
        if classes := semantic_classes(name):
            known[name] = classes.names
    key, count = "MODEL.SEM_SEG_HEAD.NUM_CLASSES", cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    for name, names in known.items():
        if len(names) != count:
            raise ConfigError(f"{key}: expected {len(names)}, the number of classes in {name!r}, found {count}")
        if names != next(iter(known.values())):
            raise ConfigError(f"DATASETS: expected data sets with the same semantic classes, found {', '.join(known)}")


def used_datasets(cfg: CfgNode, *, training: bool, classification: bool) -> list[tuple[str, str]]:
    """Return (config key, name) of each data set that a job uses.

    Raises:
        ConfigError: there is no data set, a name is unknown, or a data set is for detection and the model for
            classification, or vice versa.
    """
    frequency_groups([], tuple(cfg.DATASETS.FREQUENCY_THRESHOLDS))
    used = [("DATASETS.TRAIN", name) for name in cfg.DATASETS.TRAIN] if training else []
    used += [("DATASETS.TEST", name) for name in cfg.DATASETS.TEST]
    needed = "DATASETS.TRAIN" if training else "DATASETS.TEST"
    if not any(key == needed for key, _ in used):
        raise ConfigError(f"{needed}: expected at least one data set, found none")
    kinds = {False: "objects in images", True: "labelled images"}
    for key, name in used:
        check_registered(name, key)
        found = MetadataCatalog.get(name).get("evaluator_type") == EVALUATOR_TYPE
        if found != classification:
            raise ConfigError(
                f"{key}: MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} expects a data set of "
                f"{kinds[classification]}, found {name!r}, one of {kinds[found]}"
            )
    return used


def validate_images(cfg: CfgNode, name: str, check=None) -> CategoryStatistics | None:
    """Read a data set and check that its image files exist. Return its category statistics, or None.

    Args:
        check: called with cfg, the name, and the records whose image file exists.
    """
    records = load_dataset(name)
    present = without_missing_images(records, [name], skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
    if check is not None:
        check(cfg, name, present)
    return dataset_statistics(name, records) if class_names(name) else None


def check_categories(cfg: CfgNode, used: list[tuple[str, str]], key_of_number: str) -> None:
    """Raise ConfigError unless all data sets have the same categories and the model has their number.

    An evaluation does not need DATASETS.TRAIN, but its categories are compared, too, if it can be read.
    """
    known = [(key, name, class_names(name)) for key, name in used if class_names(name)]
    if not known:
        return
    first_key, first, expected = known[0]
    for key, name, found in known[1:]:
        if list(found) != list(expected):
            raise ConfigError(
                f"{key}: expected {name!r} to have the categories of {first!r} ({first_key}) in the same "
                f"order; {_first_difference(expected, found)}"
            )
    num_classes = functools.reduce(getattr, key_of_number.split("."), cfg)
    if num_classes != len(expected):
        raise ConfigError(
            f"{key_of_number}: expected {len(expected)}, the number of categories of {first!r}, "
            f"found {num_classes}; set {key_of_number} {len(expected)}"
        )
    if first_key != "DATASETS.TRAIN":
        check_training_order(cfg, Categories(tuple(expected), f"data set {first!r} ({first_key})"))


def check_training_order(cfg: CfgNode, tested: Categories, ids: Sequence[int] | None = None) -> None:
    """Raise ConfigError if DATASETS.TRAIN has the evaluated categories in another order.

    Different names at the same indices only cause a warning. A training set that cannot be read, or has another number
    of categories, is not compared.

    Args:
        tested: the evaluated categories.
        ids: category ids of ``tested`` if results contain category ids, else None. With ids, data sets with different
            numbers of categories are compared by their common ids.
    """
    for name in cfg.DATASETS.TRAIN:
        try:
            trained = categories_of(name, "DATASETS.TRAIN")
        except SeesawError as error:
            warn_once(logger, f"DATASETS.TRAIN: the categories of {name!r} are not compared: {error}")
            continue
        if trained is None:
            continue
        pair = trained, tested
        if ids is not None and len(trained.names) != len(tested.names):
            pair = _with_common_ids(name, trained, tested, ids)
        if warning := check_order(*pair):
            warn_once(logger, warning)


def _with_common_ids(name: str, trained: Categories, tested: Categories, ids: Sequence[int]) -> list[Categories]:
    """Return the categories of both sets, reduced to the ids that the sets have in common."""
    index_of = MetadataCatalog.get(name).get("thing_dataset_id_to_contiguous_id") or {}
    pairs = [(trained.names[index_of[key]], tested.names[place]) for place, key in enumerate(ids) if key in index_of]
    sides = zip(*pairs, strict=True) if pairs else ((), ())
    return [Categories(side, each.source) for side, each in zip(sides, (trained, tested), strict=True)]


def _first_difference(expected: list[str], found: list[str]) -> str:
    for index, (left, right) in enumerate(itertools.zip_longest(expected, found)):
        if left != right:
            counts = f"{len(expected)} and {len(found)} in all"
            return f"at index {index} expected {left!r}, found {right!r} ({counts})"
    raise AssertionError("the lists are equal")
