"""τ-normalization (Kang et al., ICLR 2020, section 4): rescale a trained classifier's weights, without training.

Shapes: D input features, C categories, L >= C logits, the last L - C for background.
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
from seesaw_d2.modeling.calibration.tau_normalization import row_scales
from seesaw_d2.train.tasks import CLASSIFICATION, task_of
from seesaw_d2.utils.category_names import kept_entry
from seesaw_d2.weights.checkpoint_io import check_output, read_checkpoint, write_checkpoint

# Mask R-CNN has one box predictor, Cascade R-CNN has a list of them, and ImageClassifier has a classifier.
_CLASSIFIER = re.compile(r"(?:^|\.)box_predictor(?:\.\d+)?\.cls_score\.weight$|^classifier\.weight$")


def tau_normalize(weight: Tensor, num_classes: int, tau: float) -> Tensor:
    """Return w_i / ‖w_i‖^τ for the rows of the categories. The rows of background are not changed.

    Weights of categories with more examples have larger norms and therefore larger logits. With τ = 1 all norms become
    1. τ = 0 changes nothing. Kang et al. classify images, where there is no background class, and drop the bias. For
    detection, this follows the reference code of BAGS (BalancedGroupSoftmax, tools/test_lvis_tnorm.py): the row of
    background and the bias are kept.

    Args:
        weight: (L, D), the first C rows belong to the categories.
        num_classes: C.
        tau: τ >= 0, usually in [0, 1].

    Returns:
        (L, D). A row of zeros stays zero.
    """
    scale = row_scales(weight, num_classes, tau)
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
        output: the .pth file to write. With several τ the files are <output>_tau<τ>.pth.
        taus: τ >= 0, without repetitions.
        config_file: the training's config. Default: config.yaml in the checkpoint's folder.
        drop_bias: True: set the categories' biases to 0, as Kang et al. do. False: keep them.
        overwrite: replace files that exist.

    Returns:
        a dict from τ to the file written. The files contain only the model, so training cannot be resumed from them.

    Raises:
        ConfigError: a τ or the output is wrong, or the classifier is not linear.
        WeightsError: the checkpoint cannot be read or does not belong to the config.
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
    """Return the path of the config that a training writes to the folder of its checkpoints."""
    path = os.path.join(os.path.dirname(checkpoint), "config.yaml")
    if not os.path.isfile(path):
        raise ConfigError(f"--config-file: expected the training's config, because there is no {path}; found none")
    return path


def _check_taus(taus: Sequence[float]) -> None:
    wrong = [tau for tau in taus if not 0 <= tau < math.inf]
    if wrong or not taus or len(set(taus)) < len(taus):
        raise ConfigError(
            f"tau: expected numbers >= 0 without repetitions, found {', '.join(map(str, taus)) or 'none'}"
        )


def _check_config(cfg: CfgNode) -> int:
    """Check that the config's classifier is linear, and return C."""
    box_head = cfg.MODEL.ROI_BOX_HEAD
    task = task_of(cfg)
    detectron2s = ("StandardROIHeads", "CascadeROIHeads", "Res5ROIHeads")
    ours = task is CLASSIFICATION or cfg.MODEL.ROI_HEADS.NAME not in detectron2s
    if ours and box_head.CLS_PREDICTOR.NAME != "Linear":
        raise ConfigError(
            "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME: expected Linear (NormedLinear normalizes its weights itself, "
            f"LWSLinear has a learned scale), found {box_head.CLS_PREDICTOR.NAME}"
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
                f"{path}: {name}: expected rows for the config's {num_classes} categories and at most 2 for "
                f"background (BAGS has more), found {rows}"
            )
    return names


def _path(output: str, tau: float) -> str:
    return f"{output.removesuffix('.pth')}_tau{tau:g}.pth" if output.endswith(".pth") else output
