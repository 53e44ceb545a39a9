"""τ-normalization of a trained classifier (Kang et al., ICLR 2020, section 4): no training, only its weights rescaled.

Shapes: D input features, C categories, L >= C logits, those behind the categories' for background.
"""

import math
import os
import re
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from torch import Tensor

from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.train.tasks import CLASSIFICATION, task_of
from seesaw_d2.utils.categories import kept_entry
from seesaw_d2.weights.checkpoint_edits import check_output, read_checkpoint, write_checkpoint

# Mask R-CNN has one predictor, Cascade a list of them; the other is that of an ImageClassifier.
_CLASSIFIER = re.compile(r"(?:^|\.)box_predictor(?:\.\d+)?\.cls_score\.weight$|^classifier\.weight$")


def tau_normalize(weight: Tensor, num_classes: int, tau: float) -> Tensor:
    """w_i / ‖w_i‖^τ for the categories' rows; background's are kept.

    A classifier's weights are the longer the more examples a category has, and so are its logits; τ = 1 makes
    all of one length, τ = 0 changes nothing. Kang et al. classify images: they have no background, and leave
    out the bias. In detection as in BAGS's reference (BalancedGroupSoftmax, tools/test_lvis_tnorm.py):
    background keeps its weights, and the bias is kept.

    Args:
        weight: (L, D), the first C rows are the categories'.
        num_classes: C.
        tau: >= 0, usually in [0, 1].

    Returns:
        (L, D). A row of zeros stays one.
    """
    norm = torch.linalg.vector_norm(weight[:num_classes].double(), dim=1, keepdim=True)
    scale = torch.where(norm > 0, norm.pow(-tau), 1.0)
    return torch.cat([(weight[:num_classes] * scale).to(weight.dtype), weight[num_classes:]])


def normalize_checkpoint(
    checkpoint: str,
    output: str,
    taus: Sequence[float],
    *,
    config_file: str | None = None,
    drop_bias: bool = False,
    overwrite: bool = False,
) -> dict[float, str]:
    """Write a checkpoint with a τ-normalized classifier for each τ, for ``--eval-only``.

    Args:
        checkpoint: a .pth file of a model with a linear classifier.
        output: the .pth file to write; with several τ it becomes <output>_tau<τ>.pth.
        taus: τ >= 0, each once.
        config_file: of the training; default: the config.yaml beside the checkpoint.
        drop_bias: set the categories' biases to 0, as Kang et al. leave them out.
        overwrite: replace files that exist.

    Returns:
        τ -> the file written. It holds the model alone: a training cannot be resumed from it.

    Raises:
        ConfigError: a wrong τ or output, or a classifier for which τ means nothing or something else.
        WeightsError: the checkpoint cannot be read or is not that of the config.
    """
    _check_taus(taus)
    paths = {tau: _path(output, tau) if len(taus) > 1 else output for tau in taus}
    for path in paths.values():
        check_output(checkpoint, path, overwrite=overwrite)
    num_classes = _check_config(load_config(config_file or find_config(checkpoint)))
    state = read_checkpoint(checkpoint)
    model = state["model"]
    names = _classifiers(model, num_classes, checkpoint)
    for tau, path in paths.items():
        changed = {name: tau_normalize(model[name], num_classes, tau) for name in names}
        for name in names if drop_bias else ():
            bias = name.removesuffix("weight") + "bias"
            changed[bias] = torch.cat([torch.zeros_like(model[bias][:num_classes]), model[bias][num_classes:]])
        write_checkpoint(path, {"model": {**model, **changed}, "tau": tau} | kept_entry(state))
    return paths


def find_config(checkpoint: str) -> str:
    """The config that a training writes beside its checkpoints."""
    path = os.path.join(os.path.dirname(checkpoint), "config.yaml")
    if not os.path.isfile(path):
        raise ConfigError(f"--config-file: expected the config of the training, as there is no {path}; found none")
    return path


def _check_taus(taus: Sequence[float]) -> None:
    wrong = [tau for tau in taus if not 0 <= tau < math.inf]
    if wrong or not taus or len(set(taus)) < len(taus):
        raise ConfigError(f"tau: expected numbers >= 0, each once, found {', '.join(map(str, taus)) or 'none'}")


def _check_config(cfg: CfgNode) -> int:
    """C, where the classifier is one that τ is for."""
    box_head = cfg.MODEL.ROI_BOX_HEAD
    task = task_of(cfg)
    detectron2s = ("StandardROIHeads", "CascadeROIHeads", "Res5ROIHeads")
    ours = task is CLASSIFICATION or cfg.MODEL.ROI_HEADS.NAME not in detectron2s
    if ours and box_head.CLS_PREDICTOR.NAME != "Linear":
        raise ConfigError(
            "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME: expected Linear (NormedLinear's weights are normalized already, "
            f"LWSLinear's have a scale of their own), found {box_head.CLS_PREDICTOR.NAME}"
        )
    return task.num_classes(cfg)


def _classifiers(model: dict[str, Tensor], num_classes: int, path: str) -> list[str]:
    names = [name for name in model if _CLASSIFIER.search(name)]
    if not names:
        raise WeightsError(f"{path}: expected a model with roi_heads.box_predictor.cls_score or classifier, found none")
    for name in names:
        rows = len(model[name])
        if not num_classes <= rows <= num_classes + 2:
            raise WeightsError(
                f"{path}: {name}: expected the logits of the config's {num_classes} categories and up to 2 of "
                f"background (BAGS's groups have more), found {rows}"
            )
    return names


def _path(output: str, tau: float) -> str:
    return f"{output.removesuffix('.pth')}_tau{tau:g}.pth" if output.endswith(".pth") else output
