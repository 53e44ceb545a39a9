"""Versions of Detectron2's samplers whose streams can start at any epoch.

Detectron2's samplers draw all epochs from one generator, so that a resumed training starts with the first epoch again.
Here the order of an epoch depends only on the seed and the epoch's number.
"""

import itertools
from collections.abc import Iterator

import torch
from detectron2.data.samplers import RandomSubsetTrainingSampler, RepeatFactorTrainingSampler, TrainingSampler

from seesaw_d2.data.sampling.seeding import mixed_seed

_SUBSET = 1  # constant that is combined with the seed for the subset


class EpochStream:
    """Mixin that turns Detectron2's samplers into endless streams of indices that consist of epochs.

    Iteration yields every world_size-th index, as in Detectron2. ``TrainLoader`` reads whole epochs.
    """

    @property
    def seed(self) -> int:
        """Return the seed of the stream, equal in all processes. It can be set before the first index is drawn."""
        return self._seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._seed = int(value)

    def epoch(self, number: int) -> torch.Tensor:
        """Return the indices of epoch ``number`` >= 0 in order (int64, at least one)."""
        raise NotImplementedError

    def generator(self, number: int) -> torch.Generator:
        """Return the generator of epoch ``number``."""
        return torch.Generator().manual_seed(mixed_seed(self._seed, number))

    def _infinite_indices(self) -> Iterator[int]:
        for number in itertools.count():
            yield from self.epoch(number).tolist()


class UniformStream(EpochStream, TrainingSampler):
    """Stream of ``TrainingSampler``: an epoch has each image once, in random order."""

    def epoch(self, number: int) -> torch.Tensor:
        return torch.randperm(self._size, generator=self.generator(number))


class SubsetStream(EpochStream, RandomSubsetTrainingSampler):
    """Stream of ``RandomSubsetTrainingSampler``: an epoch has each image of a random subset once."""

    def epoch(self, number: int) -> torch.Tensor:
        part = torch.Generator().manual_seed(mixed_seed(self._seed, 0, _SUBSET))
        indices = torch.randperm(self._size, generator=part)[: self._size_subset]
        return indices[torch.randperm(self._size_subset, generator=self.generator(number))]


class RepeatFactorStream(EpochStream, RepeatFactorTrainingSampler):
    """Stream of ``RepeatFactorTrainingSampler``: repeat factors are randomly rounded in each epoch."""

    def epoch(self, number: int) -> torch.Tensor:
        generator = self.generator(number)
        indices = self._get_epoch_indices(generator)
        return indices[torch.randperm(len(indices), generator=generator)]

    def _get_epoch_indices(self, generator: torch.Generator) -> torch.Tensor:
        """Return the same indices as Detectron2's method, without its loop over the images."""
        fractions = torch.rand(len(self._frac_part), generator=generator)
        repeats = self._int_part + (fractions < self._frac_part).float()
        return torch.repeat_interleave(repeats.long())
