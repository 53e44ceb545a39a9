"""The evaluator of a data set."""

import os

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import (
    CityscapesInstanceEvaluator,
    COCOEvaluator,
    COCOPanopticEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    PascalVOCDetectionEvaluator,
)

from seesaw_d2.data.classification.entries import EVALUATOR_TYPE
from seesaw_d2.data.records.catalog import check_registered
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.classification_evaluator import ClassificationEvaluator
from seesaw_d2.evaluation.lvis_evaluator import LongTailEvaluator


def build_evaluator(cfg: CfgNode, dataset_name: str, output_folder: str | None = None) -> DatasetEvaluator:
    """The evaluator that a registered data set asks for (its metadata's ``evaluator_type``).

    Args:
        cfg: MODEL.MASK_ON (masks too?), TEST.DETECTIONS_PER_IMAGE, DATASETS.FREQUENCY_THRESHOLDS and, for
            the groups of data without ``frequency``, DATASETS.TRAIN.
        dataset_name: LVIS's own and everything in DATASETS.REGISTER are evaluated in LVIS's terms,
            Detectron2's other built-in data sets of instances as Detectron2 does. Labelled images: accuracy by shots.
        output_folder: for result files; by default OUTPUT_DIR/inference/dataset_name.

    Raises:
        ConfigError: the name is not registered, or no evaluator is known for its type.
    """
    check_registered(dataset_name, "DATASETS.TEST")
    if output_folder is None:
        output_folder = os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name)
    kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if kind == "lvis":
        return LongTailEvaluator(cfg, dataset_name, output_folder)
    if kind == EVALUATOR_TYPE:
        return ClassificationEvaluator(cfg, dataset_name, output_folder)
    if kind == "coco":
        return COCOEvaluator(dataset_name, output_dir=output_folder)
    if kind == "coco_panoptic_seg":
        instances = COCOEvaluator(dataset_name, output_dir=output_folder)
        return DatasetEvaluators([instances, COCOPanopticEvaluator(dataset_name, output_folder)])
    if kind == "pascal_voc":
        return PascalVOCDetectionEvaluator(dataset_name)
    if kind == "cityscapes_instance":
        return CityscapesInstanceEvaluator(dataset_name)
    raise ConfigError(
        f"DATASETS.TEST: expected a data set of instances, found {dataset_name!r} of evaluator type "
        f"{kind!r}; one's own data sets are named in DATASETS.REGISTER"
    )
