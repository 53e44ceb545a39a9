"""Samplers that choose a category first, and then an image of this category.

Shapes: K categories with at least one image.
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
    """Class-aware sampler: draw a category uniformly, then draw an image with this category uniformly.

    Source: class-balanced sampling (Kang et al., ICLR 2020, equation 1 with q = 0). Like ``CASDataset`` of the code of
    EQL v2, it supports images with several objects. Such an image can be drawn for each of its categories. Deviation:
    ``CASDataset`` iterates over shuffled lists of categories and images. Here all draws are independent. The expected
    frequencies are the same, and the sampler needs no state.

    The stream has no end. Like Detectron2's samplers, all processes draw the same stream, and each process takes every
    world_size-th image. Images without objects are never drawn. Crowds do not count as objects.

    Args:
        records: dataset dicts.
        seed: seed of the stream, equal in all processes. None: draw a random seed, and share it among the processes.

    Raises:
        DataError: no image has an object.
    """

    def __init__(self, records: Sequence[dict[str, Any]], *, seed: int | None = None):
        category, image = images_of_categories(records, crowds=False)
        if not len(category):
            raise DataError(
                f"DATASETS.TRAIN: expected images with objects, found no objects. DATALOADER.SAMPLER_TRAIN "
                f"{type(self).__name__} draws only images with objects"
            )
        count = np.bincount(category)
        start = np.cumsum(count) - count
        self._image = torch.from_numpy(image)  # sorted by category
        # (K,) start and length of each category's part of ``_image``
        self._start, self._count = (torch.from_numpy(each[count > 0]) for each in (start, count))
        self._seed = int(comm.shared_random_seed() if seed is None else seed)
        self._rank, self._world_size = comm.get_rank(), comm.get_world_size()

    def __iter__(self) -> Iterator[int]:
        yield from itertools.islice(self._infinite_indices(), self._rank, None, self._world_size)

    def epoch(self, number: int) -> torch.Tensor:
        """Return 1024 image indices, which start at position 1024 * ``number`` of the stream."""
        generator = self.generator(number)
        category = self._draw_categories(generator, number * _BLOCK)
        fraction = torch.rand(_BLOCK, generator=generator, dtype=torch.float64)  # in [0, 1)
        return self._image[self._start[category] + (fraction * self._count[category]).long()].long()

    def _draw_categories(self, generator: torch.Generator, position: int) -> torch.Tensor:
        """Draw the categories of the next images.

        Args:
            generator: random generator.
            position: position of the first of these images in the stream.

        Returns:
            (_BLOCK,) indices in [0, K).
        """
        return torch.randint(len(self._count), (_BLOCK,), generator=generator)


class SquareRootSampler(ClassAwareSampler):
    """``ClassAwareSampler`` that draws categories in proportion to the square root of their number of images.

    Source: Kang et al., ICLR 2020, equation 1 with q = 1/2: p_j = n_j^q / Σ_i n_i^q.
    """

    def _draw_categories(self, generator, position):
        return torch.multinomial(self._count.double().sqrt(), _BLOCK, replacement=True, generator=generator)


class ProgressivelyBalancedSampler(ClassAwareSampler):
    """``ClassAwareSampler`` that changes gradually from instance-balanced to class-balanced sampling during training.

    Source: Kang et al., ICLR 2020, equation 2: p_j(t) = (1 - t/T) p_j^IB + t/T p_j^CB. p^IB is proportional to a
    category's number of images, and p^CB is uniform. Here t/T is an image's position in the stream divided by
    ``length``, and changes every 1,024 images. In the paper, it changes every epoch. After ``length`` images, sampling
    is class-balanced.

    Args:
        records, seed: see ``ClassAwareSampler``.
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
