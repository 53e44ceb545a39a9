"""Rescale the weights of a trained classifier without training (τ-normalization; Kang et al., ICLR 2020, section 4)."""

import math
import os
import re
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor

from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.modeling.calibration.tau_normalization import row_scales
from seesaw_d2.train.tasks import CLASSIFICATION, DETECTION, task_of
from seesaw_d2.utils.category_names import Categories, entry_of
from seesaw_d2.utils.messages import exact, shown
from seesaw_d2.weights.checkpoint_io import check_output, not_finite, read_checkpoint, write_checkpoint
from seesaw_d2.weights.format_conversion import KEPT
from seesaw_d2.weights.safe_reading import check_regular_file
from seesaw_d2.weights.tensor_checks import check_real

# Matches the names of classifier weights in checkpoints: "...box_predictor.cls_score.weight" in Mask R-CNN,
# "...box_predictor.<stage>.cls_score.weight" in Cascade R-CNN, and "classifier.weight" in ImageClassifier.
_CLASSIFIER = re.compile(r"(?:^|\.)box_predictor(?:\.\d+)?\.cls_score\.weight$|^classifier\.weight$")
_TAU = "tau"  # key of a written checkpoint with the value of τ


def tau_normalize(weight: Tensor, num_classes: int, tau: float) -> Tensor:
    """Divide the weight vector w_i of each category by ‖w_i‖^τ.

    After training, the weight vectors of frequent categories have larger norms, which give larger logits. τ = 1 scales
    all norms to 1, and τ = 0 does not change the weights. Kang et al. classify images without a background class and
    drop the bias. For detectors, this function keeps the weights of background, as the reference implementation of BAGS
    does (BalancedGroupSoftmax, tools/test_lvis_tnorm.py).

    Args:
        weight: (L, D) weights of the classifier for L logits and D features. The first C rows belong to the categories,
            the other L - C rows to background.
        num_classes: number of categories C.
        tau: τ >= 0, usually in [0, 1].

    Returns:
        (L, D) rescaled weights. Rows of background and rows of zeros do not change.
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
    """For each τ, write a copy of a checkpoint with a τ-normalized classifier, for evaluation with ``--eval-only``.

    τ-normalization divides the weight vector of each category by its norm to the power of τ.

    Args:
        checkpoint: path of a .pth file of a model with a linear classifier.
        output: path of the .pth file to write. With several values of τ, each gets its own file, such as
            "model_tau0.5.pth" for the output "model.pth".
        taus: values of τ >= 0, without repetitions.
        config_file: config of the training. If None, config.yaml in the folder of the checkpoint.
        drop_bias: whether to set the biases of the categories to 0, as Kang et al. do.
        overwrite: whether to replace existing files. If False, an existing file is an error.

    Returns:
        a dict from τ to the path of the written file. The files contain only the weights and the records that
        ``convert_weights`` also keeps, so a training cannot resume from these files.

    Raises:
        ConfigError: a τ or an output path is invalid, or the model or its classifier is not supported.
        WeightsError: the checkpoint is unreadable, does not fit the config, or is already τ-normalized.
    """
    _check_taus(taus)
    paths = {tau: _path(output, tau) if len(taus) > 1 else output for tau in taus}
    for path in paths.values():
        check_output(checkpoint, path, overwrite=overwrite)
    num_classes = _check_config(load_config(config_file or find_config(checkpoint)))
    state = read_checkpoint(checkpoint)
    model = state["model"]
    if _TAU in state:
        raise WeightsError(
            f"{checkpoint}: expected the weights of a training, found weights that this program has already normalized "
            f"with τ = {shown(state[_TAU])}. Choose the original checkpoint."
        )
    kept = {key: state[key] for key in KEPT if key in state}
    _check_number(entry_of(state, checkpoint), num_classes)
    names = _classifiers(model, num_classes, checkpoint, drop_bias)
    for tau, path in paths.items():
        changed = {name: tau_normalize(model[name], num_classes, tau) for name in names}
        for name in names if drop_bias else ():
            bias = _bias(name)
            changed[bias] = torch.cat([torch.zeros_like(model[bias][:num_classes]), model[bias][num_classes:]])
        write_checkpoint(path, {"model": {**model, **changed}, _TAU: tau} | kept)
    return paths


def find_config(checkpoint: str) -> str:
    """Return the path of config.yaml in the folder of a checkpoint, to which training writes its config.

    Raises:
        ConfigError: config.yaml does not exist.
        WeightsError: the checkpoint does not exist.
    """
    check_regular_file(checkpoint)
    path = os.path.join(os.path.dirname(checkpoint), "config.yaml")
    if not os.path.isfile(path):
        raise ConfigError(f"{path} does not exist. Set --config-file to the config of the training.")
    return path


def _check_taus(taus: Sequence[float]) -> None:
    wrong = [tau for tau in taus if not 0 <= tau < math.inf]
    if wrong or not taus or len(set(taus)) < len(taus):
        raise ConfigError(
            f"tau: expected different finite numbers >= 0, found {', '.join(map(str, taus)) or 'no numbers'}"
        )


def _check_config(cfg: CfgNode) -> int:
    """Return the number of categories in a config.

    Raises:
        ConfigError: the model has no classifier, or its classifier is not linear.
    """
    box_head = cfg.MODEL.ROI_BOX_HEAD
    task = task_of(cfg)
    if task not in (DETECTION, CLASSIFICATION):
        raise ConfigError(
            "MODEL.META_ARCHITECTURE: expected a detector with box heads or ImageClassifier, found "
            f"{cfg.MODEL.META_ARCHITECTURE}"
        )
    detectron2s = ("StandardROIHeads", "CascadeROIHeads", "Res5ROIHeads")
    ours = task is CLASSIFICATION or cfg.MODEL.ROI_HEADS.NAME not in detectron2s
    if ours and box_head.CLS_PREDICTOR.NAME != "Linear":
        raise ConfigError(
            f"MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME: expected Linear, found {box_head.CLS_PREDICTOR.NAME}. "
            "NormedLinear already normalizes its weights. LWSLinear has learned scales, which τ-normalization would "
            "change."
        )
    return task.num_classes(cfg)


def _check_number(categories: Categories | None, num_classes: int) -> None:
    if categories is not None and len(categories.names) != num_classes:
        raise WeightsError(
            f"{categories.source}: expected {num_classes} categories, as in the config, found "
            f"{len(categories.names)} categories"
        )


def _classifiers(model: dict[str, Any], num_classes: int, path: str, drop_bias: bool) -> list[str]:
    names = [name for name in model if _CLASSIFIER.search(name)]
    if not names:
        raise WeightsError(
            f"{path}: expected a parameter roi_heads.box_predictor.cls_score.weight or classifier.weight, found "
            "neither parameter"
        )
    for name in [*names, *(_bias(name) for name in names if drop_bias)]:
        value = model.get(name)
        shape = ("rows", "features") if name in names else ("rows",)
        usable = isinstance(value, Tensor) and value.is_floating_point() and value.element_size() > 1
        if not usable or value.dim() != len(shape):
            found = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else shown(value)
            expected = f"a floating-point tensor ({', '.join(shape)})"
            raise WeightsError(
                f"{path}: {name}: expected {expected}, found {found if name in model else 'no such key'}"
            )
        check_real(name, value, path)
        if not_finite({name: value}):
            raise WeightsError(f"{path}: {name}: expected finite weights, found NaN or infinity")
    for name in names:
        rows = len(model[name])
        if not num_classes <= rows <= num_classes + 2:
            raise WeightsError(
                f"{path}: {name}: expected {num_classes} to {num_classes + 2} rows, found {rows} rows. The classifier "
                f"has a row for each of the {num_classes} categories in the config, and 0 to 2 rows for background. "
                "BAGS has more rows and is not supported."
            )
    return names


def _bias(name: str) -> str:
    return name.removesuffix("weight") + "bias"


def _path(output: str, tau: float) -> str:
    return f"{output.removesuffix('.pth')}_tau{exact(tau)}.pth" if output.endswith(".pth") else output
