"""MMDetection's Seesaw Loss models (Mask R-CNN and Cascade Mask R-CNN, R-50 and R-101, FPN) as this project's.

C categories, L = C + 2 logits: the categories', then foreground and background.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor

from seesaw_d2.config.loading import load_config
from seesaw_d2.data.records.json_files import first_few
from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.model_zoo import find_config_file
from seesaw_d2.weights.checkpoint_edits import check_output, write_checkpoint
from seesaw_d2.weights.converters.fit_check import check_fit, model_shapes
from seesaw_d2.weights.converters.foreign_checkpoints import naming, read_foreign_checkpoint
from seesaw_d2.weights.converters.mmdet_names import is_before_2, is_dropped, plain_name, rename_mmdet

# Blocks of a ResNet's third stage, and its depth.
_DEPTHS = {6: 50, 23: 101}
LVIS_CLASSES = 1203
_PUBLISHED = re.compile(
    r"(cascade_)?mask_rcnn_r(50|101)_fpn_(?P<sampler>random|sample1e-3)_seesaw_loss(?P<mask>_normed_mask)?_mstrain_2x"
)


@dataclass(frozen=True)
class MmdetModel:
    """What a checkpoint of MMDetection is the model of.

    Attributes:
        cascade: Cascade Mask R-CNN, not Mask R-CNN.
        depth: of the ResNet, 50 or 101.
        num_classes: C.
        normed_mask: normalized mask prediction, which has no parameters of its own; None where nothing tells.
        sampler: "random" or "rfs" (repeat factor sampling), how it was trained; None where nothing tells.
    """

    cascade: bool
    depth: int
    num_classes: int
    normed_mask: bool | None
    sampler: str | None

    @property
    def is_lvis(self) -> bool:
        """Whether it has as many categories as LVIS v1."""
        return self.num_classes == LVIS_CLASSES

    @property
    def is_published(self) -> bool:
        """Whether MMDetection has published one like it: not Cascade with R-50, and with known sampler."""
        return self.is_lvis and self.sampler is not None and (self.depth == 101 or not self.cascade)

    @property
    def config(self) -> str:
        """This project's config for it, below its folder configs."""
        family = "cascade_mask_rcnn_R_101" if self.cascade else f"mask_rcnn_R_{self.depth}"
        mask = "_normmask" if self.normed_mask else ""
        return f"configs/seesaw/{family}_FPN_{self.sampler or 'random'}_seesaw{mask}_2x.yaml"

    @property
    def overrides(self) -> list[str]:
        """KEY VALUE ...: what its evaluation in MMDetection has, and the config for training does not."""
        words = ["INPUT.RESIZE", "opencv"]
        if self.cascade:
            words += ["MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE", "logits"]
        if self.cascade and self.depth != 101:
            words += ["MODEL.RESNETS.DEPTH", str(self.depth)]
        if not self.is_lvis:
            words += ["MODEL.ROI_HEADS.NUM_CLASSES", str(self.num_classes)]
        return words


@dataclass(frozen=True)
class Converted:
    """What came of a conversion: the model (None where a config was given), that config, and the names left behind.

    Attributes:
        device: the config's MODEL.DEVICE.
        written: how many tensors.
    """

    model: MmdetModel | None
    config: str
    overrides: list[str]
    device: str
    written: int
    unrecognised: list[str]


def convert_mmdet(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Detectron2's names; class counts as this project's integers; no other tensor changes.

    The reference counts on each GPU for itself and saves the first one's counts, in float32.

    Args:
        state: MMDetection's, version 2 or 3.

    Returns:
        the converted state, and the names that are not known.

    Raises:
        WeightsError: it is of MMDetection 1 or of a one-stage model, or nothing in it is known.
    """
    converted, unrecognised = {}, []
    for name, tensor in state.items():
        if is_before_2(name):
            raise WeightsError(
                f"{name}: expected a Mask or Cascade Mask R-CNN of MMDetection 2 or 3, found a name of another model "
                "or of version 1"
            )
        new_name = rename_mmdet(name)
        if is_dropped(name):
            continue
        if new_name is None:
            unrecognised.append(name)
        elif new_name.endswith("class_counts"):
            converted[new_name] = _as_counts(name, tensor)
        else:
            converted[new_name] = tensor
    if not converted:
        ours = " (this project's and Detectron2's names: is it converted already?)"
        known = any(name.startswith(("backbone.bottom_up.", "roi_heads.")) for name in unrecognised)
        torchvisions = any(name.startswith(("backbone.body.", "roi_heads.mask_predictor.")) for name in unrecognised)
        hint = (
            " (torchvision's names: tools/convert_torchvision_checkpoint.py takes them)"
            if torchvisions
            else ours * known
        )
        raise WeightsError(f"expected names of MMDetection, found {', '.join(unrecognised[:3])}, ...{hint}")
    return converted, unrecognised


def _as_counts(name: str, tensor: Tensor) -> Tensor:
    if not (tensor.isfinite().all() and (tensor >= 0).all()):
        raise WeightsError(f"{name}: expected counts >= 0")
    return tensor.round().to(torch.int64)


def describe_mmdet(
    state: Mapping[str, Tensor], meta: Mapping[str, Any], path: str = "", *, normed_mask: bool | None = None
) -> MmdetModel:
    """Find out what a checkpoint is the model of: by its parameters, its config text, or its published file name.

    Args:
        state: its weights.
        meta: its notes; "config" (2.x) or "cfg" (3.x) is the text of its config.
        path: its file's name.
        normed_mask: where it is known.

    Raises:
        ConfigError: it has not the parameters of a Seesaw Loss model of MMDetection.
    """
    names = {plain_name(name): tensor for name, tensor in state.items()}
    blocks = {name.split(".")[2] for name in names if re.match(r"backbone\.layer3\.\d+\.conv3\.", name)}
    depth = _DEPTHS.get(len(blocks))
    cascade = any(name.startswith("roi_head.bbox_head.0.") for name in names)
    prefix = "roi_head.bbox_head.0." if cascade else "roi_head.bbox_head."
    counts, classifier = (names.get(prefix + name) for name in ("loss_cls.cum_samples", "fc_cls.weight"))
    if depth is None or counts is None or classifier is None or len(classifier) != len(counts) + 1:
        raise ConfigError(
            f"--config-file: expected the config that {path or 'the checkpoint'} is for, as it is not one of "
            "MMDetection's Seesaw Loss models (R-50 or R-101, Mask or Cascade Mask R-CNN): "
            f"{_difference(len(blocks), counts, classifier, prefix)}; found none"
        )
    text = next((meta[key] for key in ("cfg", "config") if isinstance(meta.get(key), str)), "")
    published = _PUBLISHED.search(os.path.basename(path))
    if normed_mask is None and text:
        normed_mask = "NormedConv2d" in text
    sampler = ("rfs" if "ClassBalancedDataset" in text else "random") if text else None
    if published:
        normed_mask = bool(published["mask"]) if normed_mask is None else normed_mask
        sampler = sampler or ("random" if published["sampler"] == "random" else "rfs")
    return MmdetModel(cascade, depth, len(counts) - 1, normed_mask, sampler)


def _difference(blocks: int, counts: Tensor | None, classifier: Tensor | None, prefix: str) -> str:
    """What in a checkpoint is not as in MMDetection's Seesaw Loss models, in words."""
    if blocks not in _DEPTHS:
        return f"backbone.layer3 has {blocks} blocks, not {' or '.join(map(str, _DEPTHS))}"
    if classifier is None:
        return f"{prefix}fc_cls.weight is not in it"
    if counts is None:
        return f"{prefix}loss_cls.cum_samples, Seesaw Loss's counts, is not in it"
    return f"{prefix}fc_cls.weight has {len(classifier)} rows, not C + 2 with C = {len(counts) - 1}"


def convert_mmdet_file(
    source: str,
    target: str,
    *,
    config_file: str | None = None,
    overrides: Sequence[str] = (),
    normed_mask: bool | None = None,
    overwrite: bool = False,
) -> Converted:
    """Write the model in a checkpoint of MMDetection as a checkpoint of this project, for --eval-only or to start from.

    Args:
        source: a .pth file of MMDetection 2 or 3.
        target: the .pth file to write.
        config_file: this project's config that the model is for; default: found out from the checkpoint.
        overrides: KEY, VALUE, ... on top of it.
        normed_mask: whether masks are predicted with normalized filters, where the checkpoint does not tell.
        overwrite: replace ``target`` if it exists.

    Raises:
        ConfigError: the config cannot be found out, or ``target`` is wrong.
        WeightsError: ``source`` cannot be read, or does not fit the config in every parameter.
    """
    check_output(source, target, overwrite=overwrite)
    state, meta = read_foreign_checkpoint(source)
    with naming(source):
        converted, unrecognised = convert_mmdet(state)
    model = None
    if config_file is None:
        model = describe_mmdet(state, meta, source, normed_mask=normed_mask)
        if model.normed_mask is None:
            raise ConfigError(
                "--mask: expected normed or plain, as neither the checkpoint's config nor its file name says whether "
                "mask prediction is normalized, and both have the same parameters; found none"
            )
        config_file, overrides = find_config_file(model.config), [*model.overrides, *overrides]
    cfg: CfgNode = load_config(config_file, overrides)
    try:
        check_fit(converted, model_shapes(cfg), source, config_file)
    except WeightsError as error:
        unknown = f"\n  in the checkpoint, and not known: {first_few(unrecognised)}" if unrecognised else ""
        raise WeightsError(f"{error}{unknown}") from error
    write_checkpoint(target, {"model": converted})
    return Converted(model, config_file, list(overrides), cfg.MODEL.DEVICE, len(converted), unrecognised)
