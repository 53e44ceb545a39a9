"""Class-aware sampling: all categories are equally likely.

Shapes: K categories that have images.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.utils import comm
from torch.utils.data import Sampler

from seesaw_d2.data.records.records import images_of_categories
from seesaw_d2.data.sampling.epoch_samplers import EpochStream
from seesaw_d2.errors import DataError

_BLOCK = 1024  # number of images per draw


class ClassAwareSampler(EpochStream, Sampler):
    """An endless stream of images: draw a category uniformly, then draw one of its images uniformly.

    Class-balanced sampling (Kang et al., ICLR 2020, equation 1 with q = 0), for images with several objects like
    eqlv2's ``CASDataset``: an image can be drawn for each of its categories. Deviation: the reference iterates over
    shuffled lists of categories and of each category's images. Here all draws are independent, which has the same
    expectation and no state.

    As with Detectron2's samplers, all processes draw the same stream, and each takes every world_size-th image. Images
    without objects are never drawn. Crowds do not count as objects.

    Args:
        records: dataset dicts.
        seed: seed of the stream, the same in all processes. None: draw a seed and share it.

    Raises:
        DataError: no image has an object.
    """

    def __init__(self, records: Sequence[dict[str, Any]], *, seed: int | None = None):
        category, image = images_of_categories(records, crowds=False)
        if not len(category):
            raise DataError("ClassAwareSampler: expected images with objects to choose among, found none")
        count = np.bincount(category)
        start = np.cumsum(count) - count
        self._image = torch.from_numpy(image)  # sorted by category
        # (K,) ranges of images of each category
        self._start, self._count = (torch.from_numpy(each[count > 0]) for each in (start, count))
        self._seed = int(comm.shared_random_seed() if seed is None else seed)
        self._rank, self._world_size = comm.get_rank(), comm.get_world_size()

    def __iter__(self) -> Iterator[int]:
        yield from itertools.islice(self._infinite_indices(), self._rank, None, self._world_size)

    def epoch(self, number: int) -> torch.Tensor:
        """Return 1024 images, starting at position 1024 ``number`` of the stream."""
        generator = self.generator(number)
        category = self._draw_categories(generator, number * _BLOCK)
        fraction = torch.rand(_BLOCK, generator=generator, dtype=torch.float64)  # in [0, 1)
        return self._image[self._start[category] + (fraction * self._count[category]).long()].long()

    def _draw_categories(self, generator: torch.Generator, position: int) -> torch.Tensor:
        """Return indices of categories, (_BLOCK,) in [0, K), for the images of the stream from ``position`` on."""
        return torch.randint(len(self._count), (_BLOCK,), generator=generator)


class SquareRootSampler(ClassAwareSampler):
    """``ClassAwareSampler`` with categories drawn in proportion to the square root of their images.

    Kang et al., ICLR 2020, equation 1 with q = 1/2: p_j = n_j^q / Σ_i n_i^q.
    """

    def _draw_categories(self, generator, position):
        return torch.multinomial(self._count.double().sqrt(), _BLOCK, replacement=True, generator=generator)


class ProgressivelyBalancedSampler(ClassAwareSampler):
    """Sampling that changes gradually from instance-balanced to class-balanced during the training.

    Kang et al., ICLR 2020, equation 2: p_j(t) = (1 - t/T) p_j^IB + t/T p_j^CB, where p^IB is proportional to a
    category's images and p^CB is uniform. t/T is an image's position in the stream divided by ``length``, in steps of
    1,024 images (epochs in the paper). After ``length`` images, sampling is class-balanced.

    Args:
        records, seed: as in ``ClassAwareSampler``.
        length: number of images in the whole training, >= 1.
    """

    def __init__(self, records: Sequence[dict[str, Any]], *, length: int, seed: int | None = None):
        super().__init__(records, seed=seed)
        self._length = length

    def _draw_categories(self, generator, position):
        progress = min(position / self._length, 1.0)
        by_image = self._count.double() / self._count.sum()
        probability = (1 - progress) * by_image + progress / len(self._count)
        return torch.multinomial(probability, _BLOCK, replacement=True, generator=generator)
