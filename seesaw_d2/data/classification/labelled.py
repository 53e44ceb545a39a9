"""Labelled images in memory, the result of every reader.

Shapes: N images, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """N images with one label each. Either ``files`` or ``arrays`` contains the images."""

    # (N,) int64 in [0, C)
    labels: np.ndarray
    # C class names
    names: tuple[str, ...]
    # N paths
    files: Sequence[str] | None = None
    # (N, H, W, 3) uint8, RGB
    arrays: np.ndarray | None = None

    def select(self, indices: np.ndarray) -> "LabelledSet":
        """Return the images with these indices, in this order."""
        files = None if self.files is None else [self.files[i] for i in indices]
        arrays = None if self.arrays is None else self.arrays[indices]
        return replace(self, labels=self.labels[indices], files=files, arrays=arrays)

    def to_dataset_dicts(self) -> list[dict[str, Any]]:
        """Return Detectron2's dataset dicts. Each image has a single object without a box.

        Therefore the code for statistics, frequency groups and sampling of detection data also works for them. A record
        has "image_id", "annotations", and "file_name" or "array".
        """
        annotations = [[{"category_id": int(label)}] for label in self.labels]
        if self.files is not None:
            pairs = zip(self.files, annotations, strict=True)
            return [{"file_name": f, "image_id": f, "annotations": a} for f, a in pairs]
        pairs = zip(self.arrays, annotations, strict=True)
        return [{"array": image, "image_id": i, "annotations": a} for i, (image, a) in enumerate(pairs)]


def long_tailed(labelled: LabelledSet, imbalance: float, seed: int) -> LabelledSet:
    """Return a long-tailed subset: class i keeps N_i = N_max · imbalance^(-i / (C - 1)) images.

    Source: the exponential profile of CIFAR-LT (Cui et al., CVPR 2019; Cao et al., NeurIPS 2019), rounded down as in
    the latter's reference code. Classes keep their order: the first is the most frequent. N_max is the size of the
    largest class. A class with fewer than N_i images keeps all of them, and every class keeps at least one.

    Args:
        labelled: the complete set.
        imbalance: >= 1, N_max / N_min.
        seed: seed of the random choice within each class.
    """
    counts = np.bincount(labelled.labels, minlength=len(labelled.names))
    exponents = np.arange(len(counts)) / max(len(counts) - 1, 1)
    keep = np.maximum((counts.max() * float(imbalance) ** -exponents).astype(int), 1)
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(labelled.labels == label))[:count] for label, count in enumerate(keep.tolist())
    ]
    return labelled.select(np.sort(np.concatenate(chosen)))
