"""Replace the weights of a trained image classifier by the mean features of each class (nearest class mean)."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import CfgNode
from torch import Tensor

from seesaw_d2.data import build_classification_test_loader, register_datasets
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.row_sums import sum_rows
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.preflight.categories import used_categories
from seesaw_d2.train.preflight.config_checks import check_names, resolve_device
from seesaw_d2.train.preflight.keys import Layer, check_written
from seesaw_d2.train.tasks import CLASSIFICATION, task_of
from seesaw_d2.utils.atomic_files import check_writable
from seesaw_d2.utils.downloads import limits_of
from seesaw_d2.weights.checkpoint_io import check_output, write_checkpoint
from seesaw_d2.weights.file_checks import check_weights_file


def class_mean_checkpoint(cfg: CfgNode, path: Path, written: Sequence[Layer] = ()) -> None:
    """Write a copy of the checkpoint MODEL.WEIGHTS whose last layer classifies by the nearest class mean.

    The weights of the last layer become the mean features m_c of each class c over the training images, preprocessed as
    in evaluation. For an image with the features x, the logit of class c is then τ cos(x, m_c), where τ is the
    temperature of ``NormedLinear``. A class without images gets zero weights.

    Source: Kang et al., ICLR 2020, section 4.2, variant with cosine similarity. Their other variant, the Euclidean
    distance of normalized features, ranks the classes in the same way.

    Args:
        cfg: config of an image classifier. MODEL.WEIGHTS is the trained checkpoint, and DATASETS.TRAIN contains the
            training images.
        path: path of the new checkpoint.
        written: config keys that the user wrote in each file and on the command line (``written_layers``).

    Raises:
        ConfigError: the model is not an image classifier, its classifier is not ``NormedLinear``, or a key in
            ``written`` has no effect.
        WeightsError: the checkpoint is missing, corrupt or does not fit the model.
        DataError: the training data is missing or invalid.
    """
    resolve_device(cfg, training=False)
    check_names(cfg)
    if task_of(cfg) is not CLASSIFICATION:
        raise ConfigError(
            f"MODEL.META_ARCHITECTURE: expected 'ImageClassifier', found {cfg.MODEL.META_ARCHITECTURE!r}. Choose the "
            "config of an image classifier."
        )
    key = "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME"
    if cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME != "NormedLinear":
        found = cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME
        raise ConfigError(
            f"{key}: expected 'NormedLinear', found {found!r}. Class means are weights for cosine similarities, which "
            "only NormedLinear computes."
        )
    check_written(cfg, written)
    check_weights_file(cfg.MODEL.WEIGHTS, limits_of(cfg))
    register_datasets(cfg)
    CLASSIFICATION.validate_datasets(cfg, training=True)
    check_output(cfg.MODEL.WEIGHTS, str(path), overwrite=False)
    check_writable(os.path.dirname(os.path.abspath(path)), "output")
    model = build_model(cfg).eval()
    # The class names of checkpoint and data may differ, because the code below replaces the last layer. Without the
    # argument ``categories``, the checkpointer does not compare the class names.
    SeesawCheckpointer(model).load(cfg.MODEL.WEIGHTS, checkpointables=[])
    with torch.no_grad():
        model.classifier.weight.copy_(class_means(model, cfg))
        model.classifier.bias.zero_()
    write_checkpoint(str(path), SeesawCheckpointer(model, categories=used_categories(cfg, "TRAIN")).model_state())


@torch.no_grad()
def class_means(model, cfg: CfgNode) -> Tensor:
    """Return the mean features of the images of each class in DATASETS.TRAIN, float32 (classes, features).

    The row of a class without images is 0.

    Args:
        model: an ``ImageClassifier`` in evaluation mode.
        cfg: config of the model.
    """
    num_classes = cfg.MODEL.CLASSIFIER.NUM_CLASSES
    sums = torch.zeros(num_classes, model.classifier.in_features, dtype=torch.float64, device=model.device)
    counts = torch.zeros(num_classes, dtype=torch.float64, device=model.device)
    for name in cfg.DATASETS.TRAIN:
        for batch in build_classification_test_loader(cfg, name):
            labels = model.labels(batch)
            sums += sum_rows(model.features(batch).double(), labels, num_classes)
            counts += torch.bincount(labels, minlength=num_classes)
    return (sums / counts.clamp(min=1).unsqueeze(1)).float()
