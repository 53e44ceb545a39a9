"""Log class counts and images with detections, and send metrics to Weights & Biases."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.data.detection_utils import convert_image_to_rgb
from detectron2.engine import HookBase
from detectron2.evaluation.evaluator import inference_context
from detectron2.utils import comm
from detectron2.utils.events import EventWriter, get_event_storage
from torch import nn

from seesaw_d2.drawing.model_output import READABLE_SIZE, draw_instances
from seesaw_d2.errors import ConfigError
from seesaw_d2.frequency_groups import GROUP_NAMES
from seesaw_d2.utils.distributed import unwrapped

_PICTURES = 4


def check_monitoring(cfg: CfgNode) -> None:
    """Raise ConfigError if LOGGING.WANDB_PROJECT is set and the package wandb is not installed."""
    if cfg.LOGGING.WANDB_PROJECT and importlib.util.find_spec("wandb") is None:
        raise ConfigError(
            f"LOGGING.WANDB_PROJECT: the value {cfg.LOGGING.WANDB_PROJECT!r} needs the package wandb, but wandb is not "
            "installed. Install it with: pip install wandb."
        )


class ClassCountHook(HookBase):
    """Hook that logs the class counts of the loss: sum, minimum, maximum, and each frequency group's share of the sum.

    A loss such as Seesaw Loss stores the number of training samples of each class in its buffer ``class_counts``. The
    hook ignores losses without this buffer. It logs shares only if the frequency groups (rare, common, frequent) of the
    classes are known. For a cascade, it logs the values of the last stage.

    Args:
        model: model whose modules have the loss in the attribute ``cls_loss``.
        period: number of iterations between two logs.
    """

    def __init__(self, model: nn.Module, period: int = 20):
        self._model, self._period = model, period

    def after_step(self) -> None:
        if (self.trainer.iter + 1) % self._period or not comm.is_main_process():
            return
        for module in self._model.modules():
            counts = getattr(getattr(module, "cls_loss", None), "class_counts", None)
            if counts is not None:
                # frequency_groups needs the device only in its first call, which computes the groups. In a resumed run,
                # this can be the first call, because the hook runs before any forward pass.
                find = getattr(module, "frequency_groups", None)
                _log_counts(counts[: module.cls_loss.num_classes], find and find(counts.device))


def _log_counts(counts: torch.Tensor, groups: torch.Tensor | None) -> None:
    storage, counts = get_event_storage(), counts.double().cpu()
    storage.put_scalars(
        **{"class_counts/total": counts.sum().item(), "class_counts/smallest": counts.min().item()},
        **{"class_counts/largest": counts.max().item()},
        smoothing_hint=False,
    )
    if groups is not None and counts.sum() > 0:
        groups = groups.cpu()
        for index, name in enumerate(GROUP_NAMES):
            share = counts[groups == index].sum() / counts.sum()
            storage.put_scalar(f"class_counts/share_{name}", share.item(), smoothing_hint=False)


class PredictionImages(HookBase):
    """Hook that draws detections on the first 4 test images for TensorBoard. Detectron2 draws only proposals.

    The hook does not affect the training. While the hook runs, the model is in evaluation mode, and the states of the
    random number generators do not change.

    Args:
        model: the trained model, possibly in DistributedDataParallel.
        build_loader: function without arguments that returns the test loader.
        names: class names, in the order of class indices.
        period: VIS_PERIOD, number of iterations between two drawings.
        image_format: INPUT.FORMAT, the order of the color channels.
    """

    def __init__(
        self, model: nn.Module, build_loader: Callable[[], Any], names, period: int, image_format: str = "BGR"
    ):
        self._model, self._build_loader, self._names = model, build_loader, names
        self._period, self._format = period, image_format
        self._inputs = None

    def after_step(self) -> None:
        if (self.trainer.iter + 1) % self._period or not comm.is_main_process():
            return
        if self._inputs is None:
            self._inputs = []
            with torch.random.fork_rng(devices=[]):  # the loader draws a seed, which must not affect the training
                for batch in self._build_loader():
                    self._inputs += batch
                    if len(self._inputs) >= _PICTURES:
                        break
        model = unwrapped(self._model)
        # DistributedDataParallel would wait for the other processes, but only the main process draws images.
        with inference_context(model), torch.no_grad():
            for number, record in enumerate(self._inputs[:_PICTURES]):
                instances = model([record])[0]["instances"].to("cpu")
                image = convert_image_to_rgb(record["image"].permute(1, 2, 0), self._format)
                sized = _resized(image, (record["height"], record["width"]))
                drawn = draw_instances(sized, instances, self._names, min_score=0.3, min_size=READABLE_SIZE)
                get_event_storage().put_image(f"predictions/{number}", np.ascontiguousarray(drawn.transpose(2, 0, 1)))


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(np.ascontiguousarray(image, dtype=np.uint8), size[::-1])


def monitoring_hooks(cfg: CfgNode, model: nn.Module, build_loader: Callable[[str], Any]) -> list[HookBase]:
    """Return the hooks that log class counts and, if VIS_PERIOD > 0, images with detections.

    The hooks must run before the event writers, which write the logged values.

    Args:
        cfg: the config.
        model: the trained model, possibly in DistributedDataParallel.
        build_loader: function that maps the name of a dataset to its test loader.
    """
    hooks = [ClassCountHook(model)]
    if cfg.VIS_PERIOD > 0 and cfg.DATASETS.TEST and hasattr(unwrapped(model), "roi_heads"):
        name = cfg.DATASETS.TEST[0]
        names = MetadataCatalog.get(name).thing_classes
        hooks.append(PredictionImages(model, lambda: build_loader(name), names, cfg.VIS_PERIOD, cfg.INPUT.FORMAT))
    return hooks


class WandbWriter(EventWriter):
    """Event writer that sends Detectron2's scalars and images to Weights & Biases.

    Args:
        project: LOGGING.WANDB_PROJECT. The user must have logged in with ``wandb login``.
        cfg: config that wandb stores with the run.
        name: name of the run. If None, wandb generates a name.
    """

    def __init__(self, project: str, cfg: CfgNode, name: str | None = None):
        import wandb

        self._wandb, self._last = wandb, -1
        self._run = wandb.init(project=project, name=name, dir=cfg.OUTPUT_DIR, config={"config": cfg.dump()})

    def write(self) -> None:
        storage = get_event_storage()
        new = {key: value for key, (value, step) in storage.latest_with_smoothing_hint(20).items() if step > self._last}
        for name, image, _ in storage._vis_data:
            # Detach, because Detectron2's mask head stores tensors that still require a gradient.
            pixels = torch.as_tensor(image).detach().cpu().numpy()
            new[name] = self._wandb.Image(pixels.transpose(1, 2, 0))
        if new:
            self._run.log(new, step=storage.iter)
        self._last = storage.iter

    def close(self) -> None:
        self._run.finish()


def extra_writers(cfg: CfgNode) -> list[EventWriter]:
    """Return a list with the ``WandbWriter`` of the run, or an empty list if LOGGING.WANDB_PROJECT is empty.

    The writer must run before TensorBoard's writer, which deletes the logged images.
    """
    if not cfg.LOGGING.WANDB_PROJECT:
        return []
    return [WandbWriter(cfg.LOGGING.WANDB_PROJECT, cfg, name=os.path.basename(os.path.normpath(cfg.OUTPUT_DIR)))]
