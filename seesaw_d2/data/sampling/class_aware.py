"""Define samplers that first draw a category, and then draw an image with this category.

Shapes: K is the number of categories with at least one image.
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

# Each block of this number of consecutive images has its own random seed. Therefore a resumed training can start at any
# block without drawing the images before it.
_BLOCK = 1024


class ClassAwareSampler(EpochStream, Sampler):
    """Sampler that uniformly draws a category, and then uniformly draws an image with this category.

    Source: class-balanced sampling (Kang et al., ICLR 2020, equation 1 with q = 0). As in ``CASDataset`` of EQL v2's
    code, an image with several categories can be drawn for each of these categories. ``CASDataset`` iterates over
    shuffled lists of categories and images. This sampler draws each image independently, which needs no state and has
    the same expected frequencies.

    The sequence of images is infinite. As in Detectron2's samplers, all processes draw the same sequence, and each
    process uses every world_size-th image. Images without objects are never drawn. Crowds do not count as objects.

    Args:
        records: dataset dicts.
        seed: seed of the image order, equal in all processes. If None, draw a random seed that all processes share.

    Raises:
        DataError: no image has an object.
    """

    def __init__(self, records: Sequence[dict[str, Any]], *, seed: int | None = None):
        category, image = images_of_categories(records, crowds=False)
        if not len(category):
            raise DataError(
                f"DATASETS.TRAIN: expected images with objects, found only images without objects. "
                f"DATALOADER.SAMPLER_TRAIN {type(self).__name__} draws only images with objects. Choose another "
                "training set or sampler."
            )
        count = np.bincount(category)
        start = np.cumsum(count) - count
        # Indices of the images that contain the first category, then of the images that contain the second category,
        # and so on.
        self._image = torch.from_numpy(image)
        # For each of the K categories with images: index of its first image in ``_image``, and number of its images.
        self._start, self._count = (torch.from_numpy(each[count > 0]) for each in (start, count))
        self._seed = int(comm.shared_random_seed() if seed is None else seed)
        self._rank, self._world_size = comm.get_rank(), comm.get_world_size()

    def __iter__(self) -> Iterator[int]:
        yield from itertools.islice(self._infinite_indices(), self._rank, None, self._world_size)

    def epoch(self, number: int) -> torch.Tensor:
        """Return the image indices (1024,) int64 of block ``number`` of the infinite sequence.

        A block contains 1,024 consecutive images. Blocks take the place of epochs, because this sampler has no epochs.
        """
        generator = self.generator(number)
        category = self._draw_categories(generator, number * _BLOCK)
        # Each number in [0, 1) selects one of the images that contain the drawn category.
        fraction = torch.rand(_BLOCK, generator=generator, dtype=torch.float64)
        return self._image[self._start[category] + (fraction * self._count[category]).long()].long()

    def _draw_categories(self, generator: torch.Generator, position: int) -> torch.Tensor:
        """Draw the categories of a block of 1,024 consecutive images.

        Args:
            generator: random generator of the block.
            position: position of the block's first image in the infinite sequence.

        Returns:
            (1024,) indices in [0, K), which count only the K categories with at least one image.
        """
        return torch.randint(len(self._count), (_BLOCK,), generator=generator)


class SquareRootSampler(ClassAwareSampler):
    """Class-aware sampler that draws a category in proportion to the square root of its number of images.

    Source: Kang et al., ICLR 2020, equation 1 with q = 1/2: p_j = n_j^q / Σ_i n_i^q, where n_j is the number of images
    with category j, and p_j is the probability of drawing category j.
    """

    def _draw_categories(self, generator, position):
        return torch.multinomial(self._count.double().sqrt(), _BLOCK, replacement=True, generator=generator)


class ProgressivelyBalancedSampler(ClassAwareSampler):
    """Class-aware sampler that changes gradually from instance-balanced to class-balanced sampling during training.

    Source: Kang et al., ICLR 2020, equation 2. The probability of drawing category j after t drawn images is
    p_j(t) = (1 - t/T) p_j^IB + t/T p_j^CB.
    The instance-balanced probability p_j^IB is proportional to the number of images with category j. The class-balanced
    probability p_j^CB is the same for all categories. T is ``length``. After T images, sampling is class-balanced. In
    the paper, t/T changes every epoch. In this sampler, t/T changes every 1,024 images.

    Args:
        records: dataset dicts.
        length: number of images T that the whole training draws, >= 1.
        seed: seed of the image order, equal in all processes. If None, draw a random seed that all processes share.
    """

    def __init__(self, records: Sequence[dict[str, Any]], *, length: int, seed: int | None = None):
        super().__init__(records, seed=seed)
        self._length = length

    def _draw_categories(self, generator, position):
        progress = min(position / self._length, 1.0)
        by_image = self._count.double() / self._count.sum()
        probability = (1 - progress) * by_image + progress / len(self._count)
        return torch.multinomial(probability, _BLOCK, replacement=True, generator=generator)
