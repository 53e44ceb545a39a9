"""Store the images and labels of a classification dataset, and select long-tailed subsets.

Shapes: N is the number of images, and C is the number of classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """A classification dataset: N images, each with one of C classes.

    Every function that reads a classification dataset returns this type. The images are either files or arrays.

    Attributes:
        labels: (N,) int64, class index of each image in [0, C).
        names: the C class names.
        files: paths of the N image files, or None if the images are in ``arrays``.
        arrays: (N, H, W, 3) uint8, RGB images, or None if the images are in ``files``.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    files: Sequence[str] | None = None
    arrays: np.ndarray | None = None

    def select(self, indices: np.ndarray) -> "LabelledSet":
        """Return the dataset that contains only the images at ``indices``, in this order. The class names are kept."""
        files = None if self.files is None else [self.files[i] for i in indices]
        arrays = None if self.arrays is None else self.arrays[indices]
        return replace(self, labels=self.labels[indices], files=files, arrays=arrays)

    def to_dataset_dicts(self) -> list[dict[str, Any]]:
        """Convert the images to Detectron2's dataset dicts.

        Each image has a single annotation without a box, whose "category_id" is the label of the image. Therefore the
        category statistics, frequency groups and samplers of detection also work for classification.

        Returns:
            one dict per image, with the keys "image_id", "annotations", and either "file_name" or "array" (the pixels).
        """
        annotations = [[{"category_id": int(label)}] for label in self.labels]
        if self.files is not None:
            pairs = zip(self.files, annotations, strict=True)
            return [{"file_name": f, "image_id": f, "annotations": a} for f, a in pairs]
        pairs = zip(self.arrays, annotations, strict=True)
        return [{"array": image, "image_id": i, "annotations": a} for i, (image, a) in enumerate(pairs)]


def long_tailed(labelled: LabelledSet, imbalance: float, seed: int) -> LabelledSet:
    """Select a long-tailed subset, whose number of images per class decreases exponentially with the class index.

    Class i of the C classes keeps N_i = N_max · imbalance^(-i / (C - 1)) randomly chosen images. N_max is the number of
    images in the largest class of the complete set. N_i is rounded down, but is at least 1. A class with fewer than N_i
    images keeps all images. Classes keep their indices, so class 0 becomes the most frequent class.

    Source: the exponential profile of CIFAR-LT (Cui et al., CVPR 2019, and Cao et al., NeurIPS 2019), with the rounding
    in the code of Cao et al.

    Args:
        labelled: the complete dataset.
        imbalance: ratio of the largest to the smallest class of the subset, >= 1.
        seed: seed of the random choice of images in each class.
    """
    counts = np.bincount(labelled.labels, minlength=len(labelled.names))
    exponents = np.arange(len(counts)) / max(len(counts) - 1, 1)
    keep = np.maximum((counts.max() * float(imbalance) ** -exponents).astype(int), 1)
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(labelled.labels == label))[:count] for label, count in enumerate(keep.tolist())
    ]
    return labelled.select(np.sort(np.concatenate(chosen)))
