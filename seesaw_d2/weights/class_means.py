"""Nearest class mean: a classifier without training, from the features of a trained one.

C classes, D features.
"""

from pathlib import Path

import torch
from detectron2.config import CfgNode
from torch import Tensor

from seesaw_d2.data import build_classification_test_loader, register_datasets
from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer, check_weights_file
from seesaw_d2.train.preflight.categories import used_categories
from seesaw_d2.train.preflight.job_checks import check_names, resolve_device
from seesaw_d2.train.tasks import CLASSIFICATION, task_of
from seesaw_d2.utils.atomic_files import make_folder


def class_mean_checkpoint(cfg: CfgNode, path: Path) -> None:
    """Write the checkpoint of MODEL.WEIGHTS with the class means in place of the last layer.

    Source: Kang et al., ICLR 2020, section 4.2, with cosine similarity (their other choice, the distance of normalized
    features, ranks alike): logit_c is tau cos(x, mean of class c), which is what ``NormedLinear`` computes. The means
    are of the training images as in evaluation, without random crops; a class without images has weight 0.

    Raises:
        ConfigError: the config is of no image classifier, or its classifier is not normalized.
        WeightsError, DataError: the checkpoint or the data are missing or wrong.
    """
    resolve_device(cfg)
    check_names(cfg)
    if task_of(cfg) is not CLASSIFICATION:
        raise ConfigError(f"MODEL.META_ARCHITECTURE: expected ImageClassifier, found {cfg.MODEL.META_ARCHITECTURE!r}")
    key = "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME"
    if cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME != "NormedLinear":
        found = cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME
        raise ConfigError(f"{key}: class means are compared by cosine, expected NormedLinear, found {found!r}")
    check_weights_file(cfg.MODEL.WEIGHTS)
    register_datasets(cfg)
    CLASSIFICATION.validate_datasets(cfg, training=True)
    make_folder(path.parent)
    model = build_model(cfg).eval()
    # Its categories are not compared: the classifier, which alone has rows for them, becomes that of the data.
    SeesawCheckpointer(model).load(cfg.MODEL.WEIGHTS, checkpointables=[])
    with torch.no_grad():
        model.classifier.weight.copy_(class_means(model, cfg))
        model.classifier.bias.zero_()
    SeesawCheckpointer(model, str(path.parent), categories=used_categories(cfg, "TRAIN")).save(path.stem)


@torch.no_grad()
def class_means(model, cfg: CfgNode) -> Tensor:
    """(C, D) mean features of DATASETS.TRAIN's images of each class; 0 without an image."""
    num_classes = cfg.MODEL.CLASSIFIER.NUM_CLASSES
    sums = torch.zeros(num_classes, model.classifier.in_features, dtype=torch.float64, device=model.device)
    counts = torch.zeros(num_classes, dtype=torch.float64, device=model.device)
    for name in cfg.DATASETS.TRAIN:
        for batch in build_classification_test_loader(cfg, name):
            labels = torch.tensor([item["label"] for item in batch], device=model.device)
            sums.index_add_(0, labels, model.features(batch).double())
            counts += torch.bincount(labels, minlength=num_classes)
    return (sums / counts.clamp(min=1).unsqueeze(1)).float()
