"""Choose the images of each batch from the sampler's infinite sequence of image indices, without loading images.

Shapes: I is the number of images in the dataset. B is the number of images in a batch over all processes.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from seesaw_d2.data.records.records import Records, image_column
from seesaw_d2.data.sampling.epoch_samplers import EpochStream
from seesaw_d2.errors import DataError


class BatchPlan:
    """The image indices of all batches of a training: the same batches as in Detectron2 with a single process.

    Without groups, a batch contains the next B images of the sampler's sequence. With groups, as in Detectron2's aspect
    ratio grouping, a batch contains the next B images of one group.

    All processes compose the same batches, and each process loads a contiguous part of each batch. Therefore the
    batches do not depend on the number of processes. In Detectron2, each process composes its own batches.

    Args:
        stream: sampler that gives the image indices of each epoch.
        batch_size: number of images B in a batch over all processes, >= 1.
        groups: (I,) integers, the group of each image. If None, images are not grouped.
    """

    def __init__(self, stream: EpochStream, batch_size: int, groups: np.ndarray | None = None):
        self._stream, self._batch_size, self._groups = stream, batch_size, groups

    def batches(self, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield an infinite sequence of batches.

        A batch of B images is a pair of arrays (B,). The first array contains the indices of the images in the
        dataset. The second array contains the positions of these images in the sampler's sequence. A position counts
        all images of earlier epochs.

        Args:
            start: number of batches to skip. For LVIS, skipping 180,000 batches of 16 images takes a second.
        """
        waiting: dict[int, np.ndarray] = {}
        place = formed = 0
        for number in itertools.count():
            indices = self._stream.epoch(number).numpy()
            # Row 0 contains the image indices. Row 1 contains their positions in the sampler's sequence of all epochs.
            images = np.stack([indices, np.arange(place, place + len(indices))])
            place += len(indices)
            complete = self._form(images, waiting)
            for indices, places in complete[max(start - formed, 0) :]:
                yield indices, places
            formed += len(complete)

    def _form(self, images: np.ndarray, waiting: dict[int, np.ndarray]) -> np.ndarray:
        """Compose batches from the images of one epoch and the images left over from earlier epochs.

        Args:
            images: (2, M), the image indices and the positions in the sampler's sequence for the M images of the epoch.
            waiting: dict from group to an array (2, number of images) with the images of the group's incomplete batch.
                The dict is updated in place.

        Returns:
            the K complete batches of B images, (K, 2, B): image indices and positions. The batches are sorted by the
            position of the last image in each batch.
        """
        groups = np.zeros(images.shape[1], np.int64) if self._groups is None else self._groups[images[0]]
        full = []
        for group in np.unique(groups).tolist():
            own = images[:, groups == group]
            if group in waiting:
                own = np.concatenate([waiting[group], own], axis=1)
            end = own.shape[1] - own.shape[1] % self._batch_size
            full.append(own[:, :end].reshape(2, -1, self._batch_size).swapaxes(0, 1))
            waiting[group] = own[:, end:]
        batches = np.concatenate(full)
        return batches[batches[:, 1, -1].argsort()]


def aspect_groups(records: Records) -> np.ndarray:
    """Return the aspect ratio group of each of the I images, (I,) int64: 1 if width > height, else 0, as in Detectron2.

    Raises:
        DataError: an image has no annotated width or height.
    """
    columns = {name: image_column(records, name) for name in ("width", "height")}
    for name, column in columns.items():
        if column.dtype == object and None in column.tolist():
            raise DataError(
                f"DATALOADER.ASPECT_RATIO_GROUPING is True, but a training image has no annotated {name}. Set "
                "DATALOADER.ASPECT_RATIO_GROUPING False to train without grouping."
            )
    return (columns["width"] > columns["height"]).astype(np.int64)
