"""Build small models with every head and every loss, with random weights that give detections."""

from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from seesaw_d2.export.graph import predict
from seesaw_d2.losses import LOSS_REGISTRY, BalancedGroupSoftmaxLoss, InverseImageFrequencyLoss
from seesaw_d2.train import load_config
from tests.modeling.tiny import CASCADE, tiny_config

CLS_LOSS = "MODEL.ROI_BOX_HEAD.CLS_LOSS"
AGNOSTIC = ("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "True", "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", "True")
NORMED_MASK = ("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead")
PCB = ("MODEL.ROI_HEADS.NAME", "IterativeROIHeads", f"{CLS_LOSS}.NAME", "PairwiseClassBalance")
PCB += (f"{CLS_LOSS}.PCB.UNSEEN", "ignore")
HEADS = {
    "seesaw": (),
    "agnostic": AGNOSTIC,
    "normed_mask": NORMED_MASK,
    "normed_mask_agnostic": (*AGNOSTIC, *NORMED_MASK),
    "selective_mask": ("MODEL.ROI_MASK_HEAD.NAME", "SelectiveMaskHead"),
    "boxes_alone": ("MODEL.MASK_ON", "False"),
    "one_level": ("MODEL.ROI_HEADS.IN_FEATURES", "['p2']"),
    "cascade": (*CASCADE, *NORMED_MASK, "MODEL.ROI_MASK_HEAD.PER_STAGE", "True"),
    "cascade_logits": (*CASCADE, "MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE", "logits"),
    "pcb": PCB,
    "lws": ("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "LWSLinear"),
    "detectron2": ("MODEL.ROI_HEADS.NAME", "StandardROIHeads"),
    "classes_like_detectron2": (f"{CLS_LOSS}.BACKGROUND", "class", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear"),
}
# PairwiseClassBalance is tested with its head.
LOSSES = sorted(name for name, loss in LOSS_REGISTRY if set(loss.backgrounds) - {"none"} and "Pairwise" not in name)


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Return (H, W, 3) uint8: rectangles of noise."""
    random = np.random.default_rng(seed)
    result = np.full((height, width, 3), random.integers(0, 256, 3), dtype=np.uint8)
    for _ in range(8):
        y, x = random.integers(0, height - 8), random.integers(0, width - 8)
        result[y : y + 24, x : x + 24] = random.integers(0, 256, (1, 1, 3))
    return result


def image(height: int, width: int, seed: int) -> np.ndarray:
    """Return (3, H, W) uint8, an input of the model."""
    return np.ascontiguousarray(picture(height, width, seed).transpose(2, 0, 1))


def detector(folder: Path, *overrides) -> CfgNode:
    """Return a config whose MODEL.WEIGHTS give many detections."""
    cfg = tiny_config("MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.02", *overrides)
    return with_weights(cfg, folder)


def with_weights(cfg: CfgNode, folder: Path) -> CfgNode:
    """Write random weights with larger values than initial ones, so that scores and boxes differ."""
    torch.manual_seed(0)
    model = build_model(cfg)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and ("cls_score" in name or name == "classifier"):
            nn.init.normal_(module.weight, std=0.3)
        if isinstance(module, nn.Linear) and "bbox_pred" in name:
            nn.init.normal_(module.weight, std=0.05)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
        if isinstance(module, BalancedGroupSoftmaxLoss):  # statistics of the training set
            module.group.copy_(torch.arange(module.num_classes) % module.num_groups)
        if isinstance(module, InverseImageFrequencyLoss):
            module.link_weights.copy_(torch.linspace(0.5, 2, module.num_classes))
    path = folder / "weights.pth"
    torch.save({"model": model.state_dict()}, path)
    cfg.MODEL.WEIGHTS = str(path)
    return cfg


def classifier(folder: Path, *overrides) -> CfgNode:
    """Return the config of an image classifier for handwritten digits."""
    keys = ("MODEL.DEVICE", "cpu", "DATASETS.REGISTER", "[]", "DATASETS.TRAIN", "()", "DATASETS.TEST", "()")
    return with_weights(load_config("configs/digits/seesaw.yaml", [*keys, *overrides]), folder)


def threshold_between(cfg: CfgNode, first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """Set the score threshold so that one of two images has detections. Return this image, then the other."""
    best = [eager(model_of(cfg), array)["scores"][0] for array in (first, second)]
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = float(sum(best)) / 2
    return [first, second] if best[0] > best[1] else [second, first]


def model_of(cfg: CfgNode) -> nn.Module:
    model = build_model(cfg).eval()
    model.load_state_dict(torch.load(cfg.MODEL.WEIGHTS, weights_only=True)["model"])
    return model


def eager(model: nn.Module, array: np.ndarray) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in predict(model, torch.from_numpy(array)).items()}
