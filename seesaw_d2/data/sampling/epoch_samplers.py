"""Detectron2's samplers, changed so that a resumed training continues at any epoch.

Detectron2's samplers draw all epochs from one generator. Therefore a resumed training starts with the first epoch
again. Here the order of the images in an epoch depends only on the seed and the number of the epoch.
"""

import itertools
from collections.abc import Iterator

import torch
from detectron2.data.samplers import RandomSubsetTrainingSampler, RepeatFactorTrainingSampler, TrainingSampler

from seesaw_d2.data.sampling.seeding import mixed_seed

_SUBSET = 1  # constant to derive the seed of the random subset from the seed of the stream


class EpochStream:
    """Mixin for samplers that yield the indices of epoch 0, 1, ... without end.

    Iterating yields every world_size-th index, as in Detectron2. ``TrainLoader`` calls ``epoch`` instead.
    """

    @property
    def seed(self) -> int:
        """Return the seed of the stream, which is equal in all processes. Set the seed only before iterating."""
        return self._seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._seed = int(value)

    def epoch(self, number: int) -> torch.Tensor:
        """Return the indices of epoch ``number`` >= 0 in order, an int64 tensor with at least one element."""
        raise NotImplementedError

    def generator(self, number: int) -> torch.Generator:
        """Return the random generator of epoch ``number``."""
        return torch.Generator().manual_seed(mixed_seed(self._seed, number))

    def _infinite_indices(self) -> Iterator[int]:
        for number in itertools.count():
            yield from self.epoch(number).tolist()


class UniformStream(EpochStream, TrainingSampler):
    """Detectron2's ``TrainingSampler``: an epoch contains each image once, in random order."""

    def epoch(self, number: int) -> torch.Tensor:
        return torch.randperm(self._size, generator=self.generator(number))


class SubsetStream(EpochStream, RandomSubsetTrainingSampler):
    """Detectron2's ``RandomSubsetTrainingSampler``: an epoch contains each image of a fixed random subset once."""

    def epoch(self, number: int) -> torch.Tensor:
        part = torch.Generator().manual_seed(mixed_seed(self._seed, 0, _SUBSET))
        indices = torch.randperm(self._size, generator=part)[: self._size_subset]
        return indices[torch.randperm(self._size_subset, generator=self.generator(number))]


class RepeatFactorStream(EpochStream, RepeatFactorTrainingSampler):
    """Detectron2's ``RepeatFactorTrainingSampler``: each epoch randomly rounds the repeat factors of the images."""

    def epoch(self, number: int) -> torch.Tensor:
        generator = self.generator(number)
        indices = self._get_epoch_indices(generator)
        return indices[torch.randperm(len(indices), generator=generator)]

    def _get_epoch_indices(self, generator: torch.Generator) -> torch.Tensor:
        """Return the same indices as Detectron2's method, which is slower because it loops over the images."""
        fractions = torch.rand(len(self._frac_part), generator=generator)
        repeats = self._int_part + (fractions < self._frac_part).float()
        return torch.repeat_interleave(repeats.long())
