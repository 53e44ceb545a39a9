"""Define versions of Detectron2's samplers with which a resumed training can continue at any epoch.

In the samplers of this module, the image order of an epoch depends only on the seed and the epoch number. In
Detectron2's samplers, the image order depends on all earlier epochs, and a resumed training starts with the first epoch
again.
"""

import itertools
from collections.abc import Iterator

import torch
from detectron2.data.samplers import RandomSubsetTrainingSampler, RepeatFactorTrainingSampler, TrainingSampler

from seesaw_d2.data.sampling.seeding import mixed_seed

# The seed of the random subset contains this number, so that it differs from the seeds of all epochs.
_SUBSET = 1


class EpochStream:
    """Mixin for infinite samplers, which yield the image indices of epoch 0, then of epoch 1, and so on.

    Subclasses implement ``epoch``. As in Detectron2, iterating over the sampler yields this process's share, every
    world_size-th image index. ``TrainLoader`` calls ``epoch`` instead of iterating over the sampler.
    """

    @property
    def seed(self) -> int:
        """Return the seed of the image order, equal in all processes. Set the seed before the iteration starts."""
        return self._seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._seed = int(value)

    def epoch(self, number: int) -> torch.Tensor:
        """Return the image indices of epoch ``number`` >= 0 in training order, as a non-empty 1D int64 tensor."""
        raise NotImplementedError

    def generator(self, number: int) -> torch.Generator:
        """Return a new random generator for epoch ``number``, seeded with the sampler's seed and this number."""
        return torch.Generator().manual_seed(mixed_seed(self._seed, number))

    def _infinite_indices(self) -> Iterator[int]:
        for number in itertools.count():
            yield from self.epoch(number).tolist()


class UniformStream(EpochStream, TrainingSampler):
    """Version of Detectron2's ``TrainingSampler`` that can start at any epoch.

    An epoch contains each image once, in random order.
    """

    def epoch(self, number: int) -> torch.Tensor:
        return torch.randperm(self._size, generator=self.generator(number))


class SubsetStream(EpochStream, RandomSubsetTrainingSampler):
    """Version of Detectron2's ``RandomSubsetTrainingSampler`` that can start at any epoch.

    An epoch contains each image of a fixed random subset once, in random order.
    """

    def epoch(self, number: int) -> torch.Tensor:
        part = torch.Generator().manual_seed(mixed_seed(self._seed, 0, _SUBSET))
        indices = torch.randperm(self._size, generator=part)[: self._size_subset]
        return indices[torch.randperm(self._size_subset, generator=self.generator(number))]


class RepeatFactorStream(EpochStream, RepeatFactorTrainingSampler):
    """Version of Detectron2's ``RepeatFactorTrainingSampler`` that can start at any epoch.

    Repeat factors are randomly rounded in each epoch. For example, an epoch contains an image with repeat factor 1.3
    twice with probability 0.3, and once otherwise.
    """

    def epoch(self, number: int) -> torch.Tensor:
        generator = self.generator(number)
        indices = self._get_epoch_indices(generator)
        return indices[torch.randperm(len(indices), generator=generator)]

    def _get_epoch_indices(self, generator: torch.Generator) -> torch.Tensor:
        """Return the image indices of an epoch in ascending order, with repetitions.

        The indices equal those of Detectron2's method, but are computed without a slow loop over images.
        """
        fractions = torch.rand(len(self._frac_part), generator=generator)
        repeats = self._int_part + (fractions < self._frac_part).float()
        return torch.repeat_interleave(repeats.long())
