"""Store the features of an image classifier, and compute the accuracy of new classifiers from these features.

Shapes: N images, D features, C classes.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.choosing.candidates import NONE
from seesaw_d2.choosing.classifier_training import Samples, logits_of
from seesaw_d2.choosing.detecting import Scoring
from seesaw_d2.data.classification.labelled_loaders import build_classification_test_loader
from seesaw_d2.data.records.statistics import training_statistics
from seesaw_d2.evaluation.classification_metrics import ClassificationResults, shot_accuracy
from seesaw_d2.frequency_groups import frequency_groups
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.utils.atomic_files import atomic_file, make_folder


def record_classification(cfg: CfgNode, model: nn.Module, folder: Path, _, progress) -> None:
    """Store the input features of the last layer for all images of DATASETS.TRAIN and DATASETS.TEST.

    All images, also those for training, are preprocessed as in evaluation.

    Args:
        cfg, model: config and model of a trained image classifier.
        folder: output folder. The subfolders "train" and "test" each contain features.npy, (N, D) float16, and
            labels.npy, (N,) int64, for N images with D features each.
        _: not used. ``record_detection`` has the same signature.
        progress: function that takes an iterable, its length and a text, and returns the iterable with a progress bar.
    """
    model.eval()
    for part, names in (("train", cfg.DATASETS.TRAIN), ("test", cfg.DATASETS.TEST)):
        features, labels = [], []
        for name in names:
            loader = build_classification_test_loader(cfg, name)
            for batch in progress(loader, len(loader), f"features of {name}"):
                with torch.no_grad():
                    features.append(model.features(batch).cpu().numpy().astype(np.float16))
                labels += [each["label"] for each in batch]
        make_folder(folder / part)
        for file, array in (("features", np.concatenate(features)), ("labels", np.array(labels, np.int64))):
            with atomic_file(folder / part / f"{file}.npy") as output:
                np.save(output, array)


class ClassificationData:
    """Reader of the features of an image classifier, for training and evaluating new classifiers on these features.

    The folds are stratified: the share of each class is about the same in all folds. ``DetectionData`` has the same
    methods for detectors.

    Args:
        cfg: config of the image classifier.
        folder: folder in which ``record_classification`` has stored the features.
        folds: number of parts (folds) into which the training images are split.

    Attributes:
        shown: names of the metrics. The first one, the mean accuracy over classes, ranks the losses by default.
        has_background: False, because an image classifier has no class for background.
        num_stages: 1, the number of classifiers of the model.
        num_classes: number of classes.
    """

    shown = ("classes", "overall", "many", "medium", "few")
    has_background, num_stages = False, 1

    def __init__(self, cfg: CfgNode, folder: Path, folds: int):
        self._cfg, self._folder, self._folds = cfg, folder, folds
        self.num_classes = cfg.MODEL.CLASSIFIER.NUM_CLASSES

    def samples(self, stage: int, fold: int | None) -> Samples:
        """Return features and labels of the training images outside of ``fold``, or of all if ``fold`` is None.

        The argument ``stage`` is not used. It exists because ``DetectionData`` has the stages of a cascade.
        """
        features, labels = self._part("train")
        return Samples(features, labels, np.flatnonzero(self._fold_of != (-1 if fold is None else fold)))

    def metrics(
        self,
        classifiers: Sequence[nn.Linear],
        losses: Sequence[ClassificationLoss],
        fold: int | None,
        *,
        calibrated: Callable[[Scoring], Mapping[str, Scoring]] = lambda _: {},
        **_,
    ) -> dict[str, dict[str, float]]:
        """Compute the accuracy of a new classifier from the stored features.

        Args:
            classifiers, losses: lists with one item, the classifier and the loss that it was trained with.
            fold: fold of the training images to evaluate. If None, this method evaluates the test images.
            calibrated: function that adds calibrations. It takes a ``Scoring`` (a function from logits to
                probabilities), and returns a dict from the label of a calibration to a calibrated ``Scoring``.

        Returns:
            a dict from the label of a calibration, or "none", to a dict from metric to percent. The metrics are
            "classes", the mean accuracy over classes, and "overall", "many", "medium" and "few" of ``shot_accuracy``.
        """
        features, labels = self._part("test" if fold is None else "train")
        if fold is not None:
            chosen = np.flatnonzero(self._fold_of == fold)
            features, labels = features[chosen], labels[chosen]
        logits = torch.from_numpy(logits_of(classifiers[0], features))
        plain = Scoring([losses[0].cpu().eval()], [None], [classifiers[0].cpu()])
        scorings = {NONE: plain, **calibrated(plain)}
        return {label: self._accuracies(scoring, logits, labels) for label, scoring in scorings.items()}

    @torch.no_grad()
    def _accuracies(self, scoring: Scoring, logits: torch.Tensor, labels: np.ndarray) -> dict[str, float]:
        confidence, predicted = scoring([logits]).max(dim=1)
        confusion = ClassificationResults(labels, predicted.numpy(), confidence.numpy(), self.num_classes).confusion
        tested = confusion.sum(axis=1) > 0
        of_class = confusion.diagonal()[tested] / confusion.sum(axis=1)[tested]
        return {"classes": 100 * float(of_class.mean()), **shot_accuracy(confusion, self._groups)}

    @functools.cached_property
    def _fold_of(self) -> np.ndarray:
        """Return the index of the fold of each training image, an int64 array. The folds are the same in every run."""
        labels, generator = self._part("train")[1], np.random.default_rng(0)
        order = generator.permutation(len(labels))
        order = order[np.argsort(labels[order], kind="stable")]
        folds = np.zeros(len(labels), np.int64)
        folds[order] = np.arange(len(labels)) % self._folds
        return folds

    @functools.cached_property
    def _groups(self) -> np.ndarray | None:
        found = training_statistics(self._cfg)
        return None if found is None else frequency_groups(found.image_count, self._cfg.DATASETS.FREQUENCY_THRESHOLDS)

    @functools.cache  # noqa: B019 (the cache keeps self alive, but a process creates few of these objects)
    def _part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return np.load(self._folder / name / "features.npy", mmap_mode="r"), np.load(self._folder / name / "labels.npy")
