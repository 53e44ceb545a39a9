"""Store labelled images, and select long-tailed subsets.

Shapes: N is the number of images, and C is the number of classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Images with one label each. Every function that reads a classification data set returns a ``LabelledSet``.

    Either ``files`` or ``arrays`` contains the images.

    Attributes:
        labels: (N,) int64, class index of each image in [0, C).
        names: C class names.
        files: paths of N image files. If None, the images are in ``arrays``.
        arrays: (N, H, W, 3) uint8, RGB images. If None, the images are in ``files``.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    files: Sequence[str] | None = None
    arrays: np.ndarray | None = None

    def select(self, indices: np.ndarray) -> "LabelledSet":
        """Return the images at ``indices``, in the order of ``indices``."""
        files = None if self.files is None else [self.files[i] for i in indices]
        arrays = None if self.arrays is None else self.arrays[indices]
        return replace(self, labels=self.labels[indices], files=files, arrays=arrays)

    def to_dataset_dicts(self) -> list[dict[str, Any]]:
        """Return N dataset dicts with the keys "image_id", "annotations", and either "file_name" or "array".

        Each image has a single annotation without a box. The category of this annotation is the label of the image.
        Therefore the category statistics, frequency groups and samplers of detection also work for classification.
        """
        annotations = [[{"category_id": int(label)}] for label in self.labels]
        if self.files is not None:
            pairs = zip(self.files, annotations, strict=True)
            return [{"file_name": f, "image_id": f, "annotations": a} for f, a in pairs]
        pairs = zip(self.arrays, annotations, strict=True)
        return [{"array": image, "image_id": i, "annotations": a} for i, (image, a) in enumerate(pairs)]


def long_tailed(labelled: LabelledSet, imbalance: float, seed: int) -> LabelledSet:
    """Return a long-tailed subset, in which class i has N_i = N_max · imbalance^(-i / (C - 1)) images.

    N_max is the number of images in the largest class of the complete set. N_i is rounded down, but is at least 1. A
    class with fewer than N_i images keeps all images. Classes keep their indices, so class 0 becomes the most frequent
    class.

    Source: the exponential profile of CIFAR-LT (Cui et al., CVPR 2019, and Cao et al., NeurIPS 2019), with the rounding
    in the code of Cao et al.

    Args:
        labelled: the complete set.
        imbalance: ratio N_max / N_min of the largest to the smallest class, >= 1.
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
