"""Compute how often a training with a given config samples each category in an epoch."""

from detectron2.config import CfgNode

from seesaw_d2.compat import repeat_factor_options
from seesaw_d2.data.records.catalog import load_dataset
from seesaw_d2.data.records.concatenated_records import join
from seesaw_d2.data.records.statistics import training_statistics
from seesaw_d2.data.records.training_records import check_annotated, with_objects
from seesaw_d2.data.sampling.analysis import SamplingAnalysis, analyze_sampling
from seesaw_d2.frequency_groups import frequency_groups


def analyze_config(cfg: CfgNode, repeat_threshold: float | None = None) -> SamplingAnalysis:
    """Compute how often training samples each category of DATASETS.TRAIN in an epoch. Do not check image files.

    As in training, images without objects are omitted if DATALOADER.FILTER_EMPTY_ANNOTATIONS is True.

    Args:
        cfg: a config whose datasets are registered (``register_datasets(cfg)``).
        repeat_threshold: threshold t of the repeat factors max(1, sqrt(t / f)), where f is a category's frequency. If
            None, use DATALOADER.REPEAT_THRESHOLD.

    Raises:
        ConfigError: DATASETS.TRAIN is empty, a dataset is not registered, or the datasets' categories differ.
        DataError: an annotation file is missing or invalid, or contains no annotations.
    """
    statistics = training_statistics(cfg)
    parts = []
    for name in cfg.DATASETS.TRAIN:
        parts.append(load_dataset(name))
        check_annotated(name, parts[-1])
    records = join(parts)
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        records = with_objects(records)
    return analyze_sampling(
        records,
        len(statistics.names),
        repeat_threshold=cfg.DATALOADER.REPEAT_THRESHOLD if repeat_threshold is None else repeat_threshold,
        names=statistics.names,
        groups=frequency_groups(statistics.image_count, cfg.DATASETS.FREQUENCY_THRESHOLDS),
        **repeat_factor_options(cfg),
    )
