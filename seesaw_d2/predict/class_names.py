"""The names of a model's classes where its data sets are at hand; a trained model works without them."""

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog

from seesaw_d2.data import register_datasets
from seesaw_d2.data.records.catalog import class_names
from seesaw_d2.errors import SeesawError
from seesaw_d2.train.tasks import task_of


def names_of_classes(cfg: CfgNode) -> tuple[list[str], str]:
    """C names, those of the test or training set, which are registered for it; and "".

    Without them numbered names, and what is wrong with the data sets.
    """
    count = task_of(cfg).num_classes(cfg)
    reason = f"neither DATASETS.TEST nor DATASETS.TRAIN has names of {count} categories"
    try:
        register_datasets(cfg)
    except SeesawError as error:
        reason = str(error)
    for dataset in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        if dataset not in DatasetCatalog:
            continue
        try:
            names = class_names(dataset)
        except SeesawError as error:  # its annotations are elsewhere
            reason = str(error)
            continue
        if names and len(names) == count:
            return list(names), ""
    return [f"category {index}" for index in range(count)], reason
