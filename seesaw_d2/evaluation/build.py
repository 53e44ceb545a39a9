"""Build the evaluator of a dataset."""

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
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor

from seesaw_d2.data.images.semantic_mapper import has_semantic_head
from seesaw_d2.data.records.catalog import check_registered
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.classification_evaluator import ClassificationEvaluator
from seesaw_d2.evaluation.lvis_evaluator import LongTailEvaluator
from seesaw_d2.evaluation.semantic_evaluator import SemanticEvaluator
from seesaw_d2.utils.untrusted_paths import below

# The metadata of a dataset contain its ``evaluator_type``. This dict maps it to a function that builds the evaluator
# from the config, the name of the dataset and the output folder.
EVALUATORS = {
    "lvis": LongTailEvaluator,
    "classification": ClassificationEvaluator,
    "coco": lambda cfg, name, folder: COCOEvaluator(name, output_dir=folder),
    "coco_panoptic_seg": lambda cfg, name, folder: DatasetEvaluators(
        [COCOEvaluator(name, output_dir=folder), COCOPanopticEvaluator(name, folder)]
    ),
    "pascal_voc": lambda cfg, name, folder: PascalVOCDetectionEvaluator(name),
    "cityscapes_instance": lambda cfg, name, folder: CityscapesInstanceEvaluator(name),
}
# Detectron2's ``evaluator_type`` of datasets for semantic segmentation, which have label maps but no objects.
SEMANTIC = "sem_seg"


def results_folder(cfg: CfgNode, dataset_name: str, kind: str = "inference") -> str:
    """Return the folder for the results of a dataset, such as "output/inference/lvis_v1_val".

    Args:
        cfg: config with OUTPUT_DIR, the first part of the path.
        dataset_name: name of the dataset, the last part of the path.
        kind: name of the folder inside OUTPUT_DIR.

    Raises:
        ConfigError: the name of the dataset cannot be the name of a subfolder, like "../other".
    """
    return below(os.path.join(cfg.OUTPUT_DIR, kind), dataset_name, "DATASETS.TEST")


def build_evaluator(cfg: CfgNode, dataset_name: str, output_folder: str | None = None) -> DatasetEvaluator:
    """Build the evaluator of a registered dataset.

    ``evaluator_type`` in the metadata of the dataset selects the evaluator: ``LongTailEvaluator`` for LVIS and the
    detection datasets of DATASETS.REGISTER, ``ClassificationEvaluator`` for datasets for image classification, and
    Detectron2's evaluators for other built-in datasets. If the model has a semantic segmentation head, a
    ``SemanticEvaluator`` is added. If the model detects no objects, or if the dataset has only label maps, the
    ``SemanticEvaluator`` is the only evaluator.

    Args:
        cfg: a config. The evaluators of detections read MODEL.MASK_ON, TEST.DETECTIONS_PER_IMAGE, TEST.LVIS_ENGINE,
            TEST.LVIS_METRICS and DATASETS.FREQUENCY_THRESHOLDS. If the categories of the dataset have no
            ``frequency``, the evaluators compute the frequency groups from DATASETS.TRAIN.
        dataset_name: name of the dataset.
        output_folder: folder of the result files. Default: OUTPUT_DIR/inference/``dataset_name``.

    Raises:
        ConfigError: the dataset is not registered, or no evaluator supports its ``evaluator_type``.
    """
    check_registered(dataset_name, "DATASETS.TEST")
    if output_folder is None:
        output_folder = results_folder(cfg, dataset_name)
    kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if kind not in EVALUATORS and not (kind == SEMANTIC and has_semantic_head(cfg)):
        raise ConfigError(
            f"DATASETS.TEST: the metadata of dataset {dataset_name!r} has evaluator_type {kind!r}, but the supported "
            f"values are {', '.join(EVALUATORS)}, and {SEMANTIC} for a model with a semantic segmentation head. "
            "Register your own datasets with DATASETS.REGISTER"
        )
    if not has_semantic_head(cfg):
        return EVALUATORS[kind](cfg, dataset_name, output_folder)
    semantic = SemanticEvaluator(cfg, dataset_name, output_folder)
    if kind == SEMANTIC or issubclass(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE), SemanticSegmentor):
        return semantic
    return DatasetEvaluators([EVALUATORS[kind](cfg, dataset_name, output_folder), semantic])
