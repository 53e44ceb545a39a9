"""Store proposals of training images, sampled and labelled as in training.

Shapes: N proposals of a batch, R proposals of an image, D features of the box head, C categories.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.utils.events import EventStorage
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from seesaw_d2.choosing.stored_images import checked
from seesaw_d2.choosing.stored_proposals import ImageProposals, ProposalWriter, StoredProposals
from seesaw_d2.data.sampling.seeding import mixed_seed, seeded
from seesaw_d2.modeling.box_predictor import SeesawBoxPredictor

_FIXED = (_BatchNorm, nn.Dropout, nn.Dropout2d)


def record_training(
    model: nn.Module,
    predictors: Sequence[SeesawBoxPredictor],
    batches: Iterable[list[dict[str, Any]]],
    folder: str | os.PathLike,
    made_from: dict[str, Any],
    seed: int = 0,
) -> list[StoredProposals]:
    """Run a model on training batches, and store the sampled proposals of each stage.

    The parameters and buffers of the model do not change, because this function runs no backward pass, and batch
    normalization and dropout are in evaluation mode. To resume an interrupted call, call this function again.

    Args:
        model: a two-stage detector.
        predictors: the box predictors of the model, one for each stage of a cascade (see ``box_predictors``).
        batches: batches of the training loader, with ground truth. ``made_from`` must identify the images in order.
        folder: output folder with a subfolder for each stage. For the R proposals of an image, it stores:

            - "boxes": (R, 4) float32, the proposals in pixels of the resized image.
            - "features": (R, D) float16, the D inputs of the classifier.
            - "labels": (R, 1) int64, the category index, or the number of categories for background.
        made_from: JSON values that identify the proposals, to recognize an interrupted call.
        seed: seed for sampling proposals.

    Returns:
        the stored proposals of each stage.
    """
    source = {**made_from, "seed": seed}
    folders = [Path(folder) / f"stage{stage}" for stage in range(len(predictors))]
    writers = [ProposalWriter(each, source) for each in folders]
    first, ids = 0, []
    with torch.no_grad(), EventStorage(), _labelling(model), _watching(predictors) as found:
        for number, batch in enumerate(batches):
            if any(writer.written < first + len(batch) for writer in writers):
                with seeded(mixed_seed(seed, number)):
                    model(batch)
                for writer, stage in zip(writers, found, strict=True):
                    images = _split(batch, *stage)
                    for image in images[max(0, writer.written - first) :]:
                        writer.add(image)
            first += len(batch)
            ids += [item["image_id"] for item in batch]
    return [checked(StoredProposals(each), ids) for each in folders]


def _split(batch, features, proposals) -> list[ImageProposals]:
    counts = [len(each) for each in proposals]
    parts = np.split(features.flatten(1).cpu().numpy().astype(np.float16), np.cumsum(counts)[:-1])
    images = []
    for item, each, part in zip(batch, proposals, parts, strict=True):
        columns = {
            "boxes": each.proposal_boxes.tensor.cpu().numpy(),
            "features": part,
            "labels": each.gt_classes.cpu().numpy()[:, None],
        }
        size = tuple(each.image_size)
        images.append(ImageProposals(item["image_id"], size, (item.get("height", size[0]), item["width"]), columns))
    return images


@contextlib.contextmanager
def _labelling(model: nn.Module) -> Iterator[None]:
    """Set the model to training mode in this context, so that it samples and labels proposals.

    Batch normalization and dropout are in evaluation mode, so that they do not change buffers and features. The heads
    for masks and keypoints are disabled to save time.
    """
    modes = {module: module.training for module in model.modules()}
    heads = model.roi_heads
    before = {name: getattr(heads, name) for name in ("mask_on", "keypoint_on") if hasattr(heads, name)}
    try:
        model.train()
        for module in model.modules():
            if isinstance(module, _FIXED):
                module.eval()
        for name in before:
            setattr(heads, name, False)
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for name, value in before.items():
            setattr(heads, name, value)


@contextlib.contextmanager
def _watching(predictors: Sequence[SeesawBoxPredictor]) -> Iterator[list[list[Any]]]:
    """Record the features and labelled proposals of each stage in this context, and disable the losses.

    Yields:
        a list with a pair for each stage, which each forward pass replaces: the features of the sampled proposals of
        the batch, one row per proposal, and the proposals with labels, one ``Instances`` per image.
    """
    found: list[list[Any]] = [[None, None] for _ in predictors]
    handles = []
    try:
        for stage, predictor in zip(found, predictors, strict=True):
            handles.append(predictor.register_forward_pre_hook(_keep(stage)))
            predictor.losses = _labels(stage)
        yield found
    finally:
        for handle in handles:
            handle.remove()
        for predictor in predictors:
            vars(predictor).pop("losses", None)


def _keep(stage: list[Any]):
    def hook(_, arguments) -> None:
        stage[0] = arguments[0]

    return hook


def _labels(stage: list[Any]):
    def losses(_, proposals):
        stage[1] = proposals
        return {}

    return losses
