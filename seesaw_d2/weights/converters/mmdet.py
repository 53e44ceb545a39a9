"""Convert MMDetection's Seesaw Loss models: Mask R-CNN and Cascade Mask R-CNN with FPN, R-50 and R-101."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.utils.messages import first_few
from seesaw_d2.weights.converters.mmdet_names import is_before_2, is_dropped, plain_name, rename_mmdet

# Maps the number of residual blocks in backbone.layer3 to the depth of the ResNet. The parameter names of a checkpoint
# show this number, but not the depth.
_DEPTHS = {6: 50, 23: 101}
LVIS_CLASSES, LVIS_V05_CLASSES = 1203, 1230
# Matches the file names of MMDetection's published Seesaw Loss models. The groups capture the sampler, and whether the
# mask head is normalized.
_PUBLISHED = re.compile(
    r"(cascade_)?mask_rcnn_r(50|101)_fpn_(?P<sampler>random|sample1e-3)_seesaw_loss(?P<mask>_normed_mask)?_mstrain_2x"
)


@dataclass(frozen=True)
class MmdetModel:
    """Properties of the model in an MMDetection checkpoint.

    Attributes:
        cascade: whether the model is Cascade Mask R-CNN instead of Mask R-CNN.
        depth: depth of the ResNet, 50 or 101.
        num_classes: number of categories.
        normed_mask: whether the last layer of the mask head is normalized (NormedConv2d), or None if unknown. The
            parameters do not show this, because normalized and plain layers have the same parameters.
        sampler: sampler of the training, "random" or "rfs" (repeat factor sampling), or None if unknown.
    """

    cascade: bool
    depth: int
    num_classes: int
    normed_mask: bool | None
    sampler: str | None

    @property
    def is_lvis(self) -> bool:
        """Return True if the model has as many categories as LVIS v1."""
        return self.num_classes == LVIS_CLASSES

    @property
    def is_lvis_v05(self) -> bool:
        """Return True if the model has as many categories as LVIS v0.5."""
        return self.num_classes == LVIS_V05_CLASSES

    @property
    def is_published(self) -> bool:
        """Return True if MMDetection publishes a model with these properties. Published cascades have R-101."""
        return self.is_lvis and self.sampler is not None and (self.depth == 101 or not self.cascade)

    @property
    def config(self) -> str:
        """Return the path of the config in this project that is most similar to the model.

        ``overrides`` contains the remaining differences. If the sampler is unknown, the config is that of "random".
        """
        mask = "_normmask" if self.normed_mask else ""
        end = f"{self.sampler or 'random'}_seesaw{mask}_2x.yaml"
        if self.is_lvis_v05 and not self.cascade:
            return f"configs/lvis_v0.5/mask_rcnn_R_50_FPN_{end}"
        family = "cascade_mask_rcnn_R_101" if self.cascade else f"mask_rcnn_R_{self.depth}"
        return f"configs/seesaw/{family}_FPN_{end}"

    @property
    def overrides(self) -> list[str]:
        """Return the overrides [KEY, VALUE, ...] with which ``config`` evaluates the model as in MMDetection."""
        words = evaluation_keys(self.cascade)
        if f"_R_{self.depth}_" not in self.config:
            words += ["MODEL.RESNETS.DEPTH", str(self.depth)]
        if self.is_lvis_v05 and self.cascade:
            words += ["DATASETS.TRAIN", "('lvis_v0.5_train',)", "DATASETS.TEST", "('lvis_v0.5_val',)"]
        if not self.is_lvis and not self.config.startswith("configs/lvis_v0.5"):
            words += ["MODEL.ROI_HEADS.NUM_CLASSES", str(self.num_classes)]
        return words


def evaluation_keys(cascade: bool, resize: str = "opencv") -> list[str]:
    """Return config overrides [KEY, VALUE, ...] for evaluating a model as MMDetection does.

    Args:
        cascade: whether the model has this project's Cascade R-CNN heads. If True, one override averages the logits
            over the stages.
        resize: value of INPUT.RESIZE, which selects the library that resizes images.
    """
    average = ["MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE", "logits"] if cascade else []
    return ["INPUT.RESIZE", resize, *average]


def convert_mmdet(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Rename a state dict of MMDetection 2 or 3 for Detectron2, and convert the class counts of Seesaw Loss to int64.

    Other tensors do not change. MMDetection stores class counts as float32. Each GPU counts its own images, and the
    checkpoint contains only the counts of the first GPU.

    Args:
        state: MMDetection's state dict.

    Returns:
        a pair: the converted state dict, and the names in ``state`` that this function does not know and did not
        convert.

    Raises:
        WeightsError: ``state`` belongs to MMDetection 1 or to a one-stage model, or all names are unknown.
    """
    converted, unrecognized = {}, []
    for name, tensor in state.items():
        if is_before_2(name):
            raise WeightsError(
                f"expected parameters of Mask R-CNN or Cascade Mask R-CNN from MMDetection 2 or 3, found {name}, a "
                "parameter of another model or of MMDetection 1"
            )
        new_name = rename_mmdet(name)
        if is_dropped(name):
            continue
        if new_name is None:
            unrecognized.append(name)
        elif new_name.endswith("class_counts"):
            converted[new_name] = _as_counts(name, tensor)
        else:
            converted[new_name] = tensor
    if not converted:
        ours = ". These are Detectron2's names. The checkpoint may already be converted."
        known = any(name.startswith(("backbone.bottom_up.", "roi_heads.")) for name in unrecognized)
        torchvisions = any(name.startswith(("backbone.body.", "roi_heads.mask_predictor.")) for name in unrecognized)
        hint = (
            ". These are torchvision's names. Use tools/convert_torchvision_checkpoint.py."
            if torchvisions
            else ours * known
        )
        raise WeightsError(f"expected parameter names of MMDetection, found {first_few(unrecognized, 3)}{hint}")
    return converted, unrecognized


def _as_counts(name: str, tensor: Tensor) -> Tensor:
    counts = tensor.double()
    wrong = counts[~((counts >= 0) & (counts < 2**63))]
    if len(wrong):
        raise WeightsError(f"{name}: expected finite class counts >= 0, found {wrong[0].item()}")
    return counts.round().to(torch.int64)


def describe_mmdet(
    state: Mapping[str, Tensor], meta: Mapping[str, Any], path: str = "", *, normed_mask: bool | None = None
) -> MmdetModel:
    """Detect the properties of the model in a checkpoint of MMDetection from its parameters, config and file name.

    Args:
        state: weights of the checkpoint, a dict from name to tensor.
        meta: metadata of the checkpoint, with the text of MMDetection's config below the key "config" (MMDetection 2)
            or "cfg" (MMDetection 3).
        path: file name of the checkpoint. File names of published checkpoints contain the sampler and the mask head.
        normed_mask: whether the last layer of the mask head is normalized. If None, the function determines the value
            from the config text or the file name.

    Raises:
        ConfigError: the parameters do not belong to a Seesaw Loss model of MMDetection.
    """
    names = {plain_name(name): tensor for name, tensor in state.items()}
    blocks = {name.split(".")[2] for name in names if re.match(r"backbone\.layer3\.\d+\.conv3\.", name)}
    depth = _DEPTHS.get(len(blocks))
    cascade = any(name.startswith("roi_head.bbox_head.0.") for name in names)
    prefix = "roi_head.bbox_head.0." if cascade else "roi_head.bbox_head."
    found = (names.get(prefix + name) for name in ("loss_cls.cum_samples", "fc_cls.weight"))
    counts, classifier = (None if each is None else torch.atleast_1d(each) for each in found)
    if depth is None or counts is None or classifier is None or len(classifier) != len(counts) + 1:
        raise ConfigError(
            f"--config-file: cannot detect the config of {path or 'the checkpoint'}. The supported models are Mask "
            "R-CNN and Cascade Mask R-CNN of MMDetection with R-50 or R-101 and Seesaw Loss, but "
            f"{_difference(len(blocks), counts, classifier, prefix)}. Set --config-file to the config of the model."
        )
    text = config_text(meta)
    published = published_name(path)
    if normed_mask is None and text:
        normed_mask = "NormedConv2d" in text
    sampler = ("rfs" if "ClassBalancedDataset" in text else "random") if text else None
    if published:
        normed_mask = bool(published["mask"]) if normed_mask is None else normed_mask
        sampler = sampler or ("random" if published["sampler"] == "random" else "rfs")
    return MmdetModel(cascade, depth, len(counts) - 1, normed_mask, sampler)


def published_name(path: str) -> re.Match[str] | None:
    """Match the file name of a checkpoint with the names of MMDetection's published Seesaw Loss models."""
    return _PUBLISHED.search(os.path.basename(path))


def config_text(meta: Mapping[str, Any]) -> str:
    """Return the text of MMDetection's config in the metadata of a checkpoint, or "" if the text is missing."""
    return next((meta[key] for key in ("cfg", "config") if isinstance(meta.get(key), str)), "")


def _difference(blocks: int, counts: Tensor | None, classifier: Tensor | None, prefix: str) -> str:
    """Describe how a checkpoint differs from MMDetection's Seesaw Loss models, such as "fc_cls.weight is missing".

    Args:
        blocks: number of residual blocks in backbone.layer3.
        counts: class counts of Seesaw Loss, or None if the checkpoint has no class counts.
        classifier: weights of the classifier, or None if they are missing.
        prefix: prefix of the parameters of the box head.
    """
    if blocks not in _DEPTHS:
        return f"backbone.layer3 has {blocks} blocks instead of {' or '.join(map(str, _DEPTHS))}"
    if classifier is None:
        return f"{prefix}fc_cls.weight is missing"
    if counts is None:
        return f"{prefix}loss_cls.cum_samples, the class counts of Seesaw Loss, is missing"
    return (
        f"{prefix}fc_cls.weight has {len(classifier)} rows instead of {len(counts) + 1} for {len(counts)} class counts"
    )
