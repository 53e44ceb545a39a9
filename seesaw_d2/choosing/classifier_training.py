"""Train a classifier on stored features, with the optimizer of the config.

Shapes: N stored samples, D features, L logits.
"""

from dataclasses import dataclass

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.solver import build_lr_scheduler, build_optimizer
from torch import nn

from seesaw_d2.data.sampling.seeding import mixed_seed, seeded
from seesaw_d2.errors import DataError
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.modeling.box_predictor import build_classifier
from seesaw_d2.modeling.classifier_checks import check_classifier_config
from seesaw_d2.train.preflight.schedule import WITH_START


@dataclass(frozen=True, eq=False)
class Samples:
    """Training samples for a classifier: a subset of N stored samples.

    Attributes:
        features: (N, D) float16 array of D features for each stored sample, possibly memory-mapped.
        labels: (N,) integers, the class of each stored sample.
        chosen: indices of the stored samples to train on.
    """

    features: np.ndarray
    labels: np.ndarray
    chosen: np.ndarray

    def batches(self, size: int, seed: int):
        """Yield an infinite sequence of batches, shuffled in each epoch.

        Args:
            size: number of samples in a batch.
            seed: seed of the shuffling.

        Yields:
            a pair of tensors: features (size, D) float32, and labels (size,).

        Raises:
            DataError: there are no samples, for example if all sampled proposals belong to held-out images.
        """
        if not len(self.chosen):
            raise DataError("DATASETS.TRAIN: expected training samples outside of the held-out images, found none")
        generator, waiting = np.random.default_rng(seed), np.zeros(0, dtype=np.int64)
        while True:
            while len(waiting) < size:
                waiting = np.concatenate([waiting, generator.permutation(self.chosen)])
            rows, waiting = np.sort(waiting[:size]), waiting[size:]
            yield torch.from_numpy(self.features[rows].astype(np.float32)), torch.from_numpy(self.labels[rows])


def shortened(cfg: CfgNode, iterations: int) -> CfgNode:
    """Return a copy of a config with the training schedule scaled to another number of iterations.

    The factor ``iterations / SOLVER.MAX_ITER`` also scales the learning rate steps, the warm-up, and START_ITER, the
    iteration at which some losses change (LDAM starts re-weighting, PCB starts to use soft labels).
    """
    scale = iterations / cfg.SOLVER.MAX_ITER
    found = cfg.clone()
    found.defrost()
    solver = found.SOLVER
    solver.MAX_ITER = iterations
    solver.STEPS = tuple(max(1, round(step * scale)) for step in solver.STEPS)
    solver.WARMUP_ITERS = round(solver.WARMUP_ITERS * scale)
    for name in WITH_START:
        node = found.MODEL.ROI_BOX_HEAD.CLS_LOSS[name]
        node.START_ITER = round(node.START_ITER * scale)
    return found


def train_classifier(cfg: CfgNode, loss: ClassificationLoss, samples: Samples, batch: int, seed: int) -> nn.Linear:
    """Train a new classifier (one linear layer) for SOLVER.MAX_ITER iterations, and return it in evaluation mode.

    Args:
        cfg: config that defines the type of classifier (MODEL.ROI_BOX_HEAD.CLS_PREDICTOR), SOLVER and MODEL.DEVICE.
        loss: the loss to minimize. Training updates its statistics, such as class counts.
        samples: features and labels to train on.
        batch: number of samples in a batch.
        seed: seed of the initial weights and of the shuffling.
    """
    check_classifier_config(cfg.MODEL.ROI_BOX_HEAD)
    node, device = cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR, torch.device(cfg.MODEL.DEVICE)
    with seeded(mixed_seed(seed)):
        classifier = build_classifier(node.NAME, samples.features.shape[1], loss, node.TEMPERATURE).to(device)
    loss.to(device).train()
    optimizer = build_optimizer(cfg, classifier)
    scheduler = build_lr_scheduler(cfg, optimizer)
    stream = samples.batches(batch, seed)
    for _ in range(cfg.SOLVER.MAX_ITER):
        features, labels = (each.to(device, non_blocking=True) for each in next(stream))
        optimizer.zero_grad()
        sum(loss(classifier(features), labels).values()).backward()
        optimizer.step()
        scheduler.step()
    return classifier.eval()


@torch.no_grad()
def logits_of(classifier: nn.Linear, features: np.ndarray, rows: int = 16384) -> np.ndarray:
    """Compute the logits of stored features.

    Args:
        classifier: linear layer from D features to L logits.
        features: (N, D) array, the features of N samples.
        rows: maximum number of samples that are computed at once, to limit the memory.

    Returns:
        (N, L) float32.
    """
    device = classifier.weight.device
    parts = np.array_split(np.arange(len(features)), max(1, -(-len(features) // rows)))
    found = [classifier(torch.from_numpy(features[part].astype(np.float32)).to(device)).cpu().numpy() for part in parts]
    return np.concatenate(found)
