"""Detectron2's samplers as streams that can be entered anywhere.

Detectron2's samplers draw epoch after epoch from one generator, so that to know the order of an epoch one has to draw
all those before it, and a resumed training starts with the first. Here an epoch's order is a function of the seed and
of the epoch's number.
"""

import itertools
from collections.abc import Iterator

import torch
from detectron2.data.samplers import RandomSubsetTrainingSampler, RepeatFactorTrainingSampler, TrainingSampler

from seesaw_d2.data.sampling.seeding import mixed_seed

_SUBSET = 1  # beside the seed, where no epoch's number stands


class EpochStream:
    """Mixed into a sampler of Detectron2, before it: an endless stream of indices made of epochs.

    Iterating gives this process's part of the stream as in Detectron2, each world-size-th index of it;
    ``TrainLoader`` takes the epochs themselves.
    """

    @property
    def seed(self) -> int:
        """Of the stream, the same in every process. It can be set, until the first index is drawn."""
        return self._seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._seed = int(value)

    def epoch(self, number: int) -> torch.Tensor:
        """The indices of epoch ``number`` >= 0 in their order, int64; at least one."""
        raise NotImplementedError

    def generator(self, number: int) -> torch.Generator:
        """A generator for epoch ``number`` alone."""
        return torch.Generator().manual_seed(mixed_seed(self._seed, number))

    def _infinite_indices(self) -> Iterator[int]:
        for number in itertools.count():
            yield from self.epoch(number).tolist()


class UniformStream(EpochStream, TrainingSampler):
    """``TrainingSampler``: every image once in an epoch, in random order."""

    def epoch(self, number: int) -> torch.Tensor:
        return torch.randperm(self._size, generator=self.generator(number))


class SubsetStream(EpochStream, RandomSubsetTrainingSampler):
    """``RandomSubsetTrainingSampler``: every image of a part, which the seed decides, once in an epoch."""

    def epoch(self, number: int) -> torch.Tensor:
        part = torch.Generator().manual_seed(mixed_seed(self._seed, 0, _SUBSET))
        indices = torch.randperm(self._size, generator=part)[: self._size_subset]
        return indices[torch.randperm(self._size_subset, generator=self.generator(number))]


class RepeatFactorStream(EpochStream, RepeatFactorTrainingSampler):
    """``RepeatFactorTrainingSampler``: every image as often as its repeat factor says, rounded anew in every epoch."""

    def epoch(self, number: int) -> torch.Tensor:
        generator = self.generator(number)
        indices = self._get_epoch_indices(generator)
        return indices[torch.randperm(len(indices), generator=generator)]

    def _get_epoch_indices(self, generator: torch.Generator) -> torch.Tensor:
        """As Detectron2's, number by number, without its loop over the images."""
        fractions = torch.rand(len(self._frac_part), generator=generator)
        repeats = self._int_part + (fractions < self._frac_part).float()
        return torch.repeat_interleave(repeats.long())
