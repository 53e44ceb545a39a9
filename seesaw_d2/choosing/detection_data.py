"""Store the proposals of a detector with their features, and compute AP of new classifiers from these features.

Shapes: P proposals, D features, L logits, C categories.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.choosing.candidates import NONE
from seesaw_d2.choosing.classifier_training import Samples, logits_of
from seesaw_d2.choosing.detecting import Limits, Scoring, batch_detections
from seesaw_d2.choosing.evaluated_images import EvaluatedImages
from seesaw_d2.choosing.recording import box_predictors, record
from seesaw_d2.choosing.stored_proposals import ImageProposals, StoredProposals
from seesaw_d2.choosing.training_proposals import record_training
from seesaw_d2.data.records.training_records import load_training_dicts
from seesaw_d2.data.sampling.loaders import build_test_loader, build_train_loader
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.modeling.iterative_heads import IterativeROIHeads
from seesaw_d2.train.preflight.trained_and_tested import shared_images
from seesaw_d2.utils.messages import first_few


def check_detector(cfg: CfgNode, model: nn.Module) -> None:
    """Check that ``tools/choose_loss.py`` can train new classifiers on stored features of the detector.

    Raises:
        ConfigError: the detector is not supported, DATASETS.TRAIN or DATASETS.TEST is not a single dataset, or both
            share images.
    """
    box_predictors(model)
    if isinstance(model.roi_heads, IterativeROIHeads):
        raise ConfigError(
            "MODEL.ROI_HEADS.NAME: IterativeROIHeads is not supported. Its features depend on the classifier, so "
            "stored features cannot be used to train another classifier"
        )
    if cfg.MODEL.LOAD_PROPOSALS:
        raise ConfigError(
            "MODEL.LOAD_PROPOSALS: expected False, found True. The model must compute the proposals itself."
        )
    for key in ("TRAIN", "TEST"):
        if len(cfg.DATASETS[key]) != 1:
            raise ConfigError(f"DATASETS.{key}: expected one dataset, found {list(cfg.DATASETS[key])}")
    common = shared_images(cfg.DATASETS.TRAIN[0], cfg.DATASETS.TEST[0])
    if common:
        raise ConfigError(
            f"DATASETS.TEST: expected images that are not in DATASETS.TRAIN, found shared files: {first_few(common)}. "
            "The loss is chosen on the training images. Set DATASETS.TEST to other images"
        )


def record_detection(cfg: CfgNode, model: nn.Module, folder: Path, made_from: dict[str, Any], progress) -> None:
    """Store the proposals of the images of DATASETS.TRAIN and DATASETS.TEST.

    Args:
        cfg, model: config and model of a trained detector.
        folder: output folder with three subfolders. "train" contains proposals of the training images, sampled as in
            training. "held_out" contains the inference proposals of the training images, and "test" those of the test
            images.
        made_from: JSON values that identify the proposals, such as hashes of the weights and of the config. If the
            folder contains proposals with other values, ``ProposalWriter`` raises ConfigError.
        progress: function that takes an iterable, its length and a text, and returns the iterable with a progress bar.
    """
    batches = _Epoch(cfg)
    seed = max(cfg.SEED, 0)
    shown = progress(batches, len(batches), "training proposals")
    record_training(model, box_predictors(model), shown, folder / "train", made_from, seed)
    for name, part in ((cfg.DATASETS.TRAIN[0], "held_out"), (cfg.DATASETS.TEST[0], "test")):
        loader = build_test_loader(cfg, name)
        inputs = (each for batch in progress(loader, len(loader), f"proposals of {name}") for each in batch)
        record(model, inputs, folder / part, {**made_from, "images": name}, features=True)


class _Epoch:
    """Iterable over the batches of one training epoch without the incomplete last batch, but at least one batch.

    The batches are the same in every run, because a negative SEED in the config is replaced by 0.
    """

    def __init__(self, cfg: CfgNode):
        self._cfg = cfg.clone()
        self._cfg.defrost()
        self._cfg.SEED = max(cfg.SEED, 0)
        self._records = load_training_dicts(cfg)

    def __len__(self) -> int:
        return max(1, len(self._records) // self._cfg.SOLVER.IMS_PER_BATCH)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        yield from itertools.islice(build_train_loader(self._cfg, records=self._records), len(self))


class DetectionData:
    """Reader of the proposals of a detector, for training and evaluating new classifiers on the stored features.

    Args:
        cfg: config of the detector.
        limits: score threshold, NMS threshold and maximum number of detections per image.
        average_logits: whether the detector is a cascade that averages the logits of its stages. If False, the detector
            averages the probabilities of its stages, or has one stage.
        folder: folder in which ``record_detection`` has stored the proposals.
        folds: number of parts (folds) into which the training images are split.

    Attributes:
        shown: names of the metrics to report.
        has_background: True, because the losses of a detector model background.
        num_classes: number of foreground categories.
        num_stages: number of classifiers, one for each stage of a cascade.
    """

    shown = ("AP", "APr", "APc", "APf")  # metrics in tables. By default, the first one ranks the losses
    has_background = True

    def __init__(self, cfg: CfgNode, limits: Limits, average_logits: bool, folder: Path, folds: int):
        self._cfg, self._folder, self._limits, self._folds = cfg, folder, limits, folds
        self._average_logits = average_logits
        self.num_stages = len(list((folder / "train").glob("stage*")))
        self.num_classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES

    def samples(self, stage: int, fold: int | None) -> Samples:
        """Return the features and labels of the training proposals of a cascade stage, to train its classifier.

        The proposals belong to the training images outside of ``fold``, or to all if ``fold`` is None.
        """
        stored = self._stage(stage)
        of_image = np.array([self._fold_of.get(image_id, -1) for image_id in stored.image_ids])
        kept = np.repeat(np.ones(len(of_image), bool) if fold is None else of_image != fold, stored.counts)
        return Samples(stored.column("features"), stored.column("labels")[:, 0], np.flatnonzero(kept))

    def metrics(
        self,
        classifiers: Sequence[nn.Linear],
        losses: Sequence[ClassificationLoss],
        fold: int | None,
        *,
        extra: Sequence[str] = (),
        calibrated: Callable[[Scoring], Mapping[str, Scoring]] = lambda _: {},
    ) -> dict[str, dict[str, float]]:
        """Compute AP, APr, APc and APf of new classifiers from the stored proposals.

        Args:
            classifiers, losses: the classifier and the loss of each stage.
            fold: fold of the training images to evaluate. If None, this method evaluates the test images.
            extra: names of further metrics, such as "fixed" for AP_fixed.
            calibrated: function that adds calibrations. It takes a ``Scoring`` (a function from logits to scores), and
                returns a dict from the label of a calibration to a calibrated ``Scoring``.

        Returns:
            a dict from the label of a calibration to a dict from metric to percent. The label "none" stands for the
            scores without calibration.
        """
        images, evaluated = self._evaluated(fold)
        logits = [logits_of(each, self._features(fold, stage)) for stage, each in enumerate(classifiers)]
        if self._average_logits:  # as in inference, the last stage scores the mean logits of all stages
            logits, losses, classifiers = [np.mean(logits, axis=0)], losses[-1:], classifiers[-1:]
        own = [each.cpu() for each in classifiers]
        plain = Scoring([loss.cpu().eval() for loss in losses], [None] * len(losses), own)
        result = {}
        for label, scoring in {NONE: plain, **calibrated(plain)}.items():
            found = evaluated.metrics(batch_detections(images, logits, scoring, self._limits), extra=extra)
            result[label] = {name: value for name, value in found.items() if name in self.shown or "fixed" in name}
        return result

    def _features(self, fold: int | None, stage: int) -> np.ndarray:
        """Return the features of the inference proposals in a fold of the training images, one row per proposal.

        ``stage`` is the index of the cascade stage. If ``fold`` is None, return the features in the test images.
        """
        stored = self._part("test" if fold is None else "held_out")
        features = stored.column(f"features{stage}")
        if fold is None:
            return features
        return features[np.repeat([self._fold_of[image_id] == fold for image_id in stored.image_ids], stored.counts)]

    @functools.cached_property
    def _fold_of(self) -> dict[int, int]:
        """Return a dict from the id of a training image to its random fold, which is the same in every run."""
        ids = np.sort(self._part("held_out").image_ids)
        order = np.random.default_rng(0).permutation(len(ids))
        return {int(ids[place]): number % self._folds for number, place in enumerate(order)}

    @functools.cache  # noqa: B019 (the cache keeps self alive, but a process creates few of these objects)
    def _stage(self, stage: int) -> StoredProposals:
        return StoredProposals(self._folder / "train" / f"stage{stage}")

    @functools.cache  # noqa: B019 (the cache keeps self alive, but a process creates few of these objects)
    def _part(self, name: str) -> StoredProposals:
        return StoredProposals(self._folder / name)

    @functools.cache  # noqa: B019 (the cache keeps self alive, but a process creates few of these objects)
    def _evaluated(self, fold: int | None) -> tuple[list[ImageProposals], EvaluatedImages]:
        if fold is None:
            return list(self._part("test")), EvaluatedImages(self._cfg, self._cfg.DATASETS.TEST[0])
        images = [image for image in self._part("held_out") if self._fold_of[image.image_id] == fold]
        ids = [image.image_id for image in images]
        return images, EvaluatedImages(self._cfg, self._cfg.DATASETS.TRAIN[0], ids)
