"""Load training batches, starting at any batch. A batch depends only on the seed and on the number of the batch."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.data.build import trivial_batch_collator
from torch.utils.data import DataLoader, Dataset

from seesaw_d2.data.images.prefetch import ToDevice, prefetched
from seesaw_d2.data.records.records import file_names, image_column, object_columns, take
from seesaw_d2.data.sampling.batch_composition import BatchPlan
from seesaw_d2.data.sampling.epoch_samplers import EpochStream
from seesaw_d2.data.sampling.seeding import generators_kept, mixed_seed, seed_cpu
from seesaw_d2.errors import DataError
from seesaw_d2.utils.distributed import rank, world_size
from seesaw_d2.utils.messages import warn_once
from seesaw_d2.utils.worker_processes import count_workers

logger = logging.getLogger(__name__)

# Each image needs two independent seeds, which contain these different numbers. The first seed is for the augmentation
# of the image. The second seed is for choosing another image if the mapper returns None.
_AUGMENTATION, _REPLACEMENT = 1, 2
# If the mapper returns None for this number of images in a row, the loader raises an error instead of trying forever.
_MAX_REPLACEMENTS = 100

# These keys of a loader's saved state determine the batches. Each value describes the key in messages.
_DIFFERENCES = {
    "seed": "seed",
    "batch_size": "number of images in a batch",
    "sampler": "sampler",
    "grouped": "aspect ratio grouping",
    "records": "number of training images",
    "digest": "hash of the training images' names",
    "labels": "hash of the training images' categories and boxes",
}
# ``labels_digest`` reads the boxes of at most this number of images, because reading all boxes of a large dataset is
# slow.
_MAX_IMAGES_WITH_BOXES = 2000

Record = dict[str, Any]


class TrainLoader:
    """Infinite iterable over the training batches of this process. A batch is a list of the mapper's return values.

    The images of a batch and their augmentation depend only on the sampler's seed and the number of the batch. They are
    the same for any number of worker processes and training processes. Therefore the loader can start at any batch
    without loading earlier batches. The worker processes start when the first batch is requested.

    Args:
        records: I dataset dicts.
        mapper: function that maps a dataset dict to model inputs. Augmentations may use the global generators of
            Python, NumPy and PyTorch. If the function returns None, the loader maps another random dataset dict
            instead.
        sampler: sampler that gives the image indices of each epoch. The loader also uses the sampler's seed for the
            augmentation.
        batch_size: number of images in a batch over all processes, a multiple of the number of processes.
        groups: (I,) integers, the group of each image. All images of a batch belong to one group. If None, images are
            not grouped.
        num_workers: number of worker processes. If 0, load images in this process.
        digest: hash of the images from ``digest_of``. With this hash, a resumed training can detect changed images.
        labels: hash of the annotations from ``labels_digest``, for the same purpose.
        device: GPU to which images are copied from pinned memory while the model trains on the previous batch. If None,
            images are not copied.
        options: further arguments of PyTorch's ``DataLoader``.
    """

    def __init__(
        self,
        records: Sequence[Record],
        mapper: Callable[[Record], Any],
        sampler: EpochStream,
        *,
        batch_size: int,
        groups: np.ndarray | None = None,
        num_workers: int = 0,
        digest: str = "",
        labels: str = "",
        device: torch.device | None = None,
        **options: Any,
    ):
        self.records, self.mapper, self.sampler = records, mapper, sampler
        self.batch_size, self.groups = batch_size, groups
        self._options = {"collate_fn": trivial_batch_collator, **options, "num_workers": num_workers}
        if device is not None:
            self._options["pin_memory"] = True
        self.digest, self.labels, self._device = digest, labels, device
        # Number of images in all batches so far, summed over processes. A resumed training continues after these
        # images.
        self.num_images = 0

    @property
    def seed(self) -> int:
        return self.sampler.seed

    def __iter__(self) -> Iterator[list]:
        """Yield an infinite sequence of batches. Skip the first ``num_images`` images, which are already loaded."""
        _mention_cores(self._options["num_workers"])
        loader = DataLoader(
            _Samples(self.records, self.mapper, self.seed),
            batch_sampler=_Shares(
                BatchPlan(self.sampler, self.batch_size, self.groups), self.num_images // self.batch_size
            ),
            # DataLoader draws a seed for its workers from this generator. Otherwise it would use PyTorch's global
            # generator, and change the random numbers of the training.
            generator=torch.Generator(),
            **self._options,
        )
        if self._device is not None:
            loader = prefetched(loader, ToDevice(self._device))
        for batch in loader:
            self.num_images += self.batch_size
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return the number of loaded images, and the values that determine the batches, such as the seed."""
        return {
            "seed": self.seed,
            "images": self.num_images,
            "batch_size": self.batch_size,
            "sampler": type(self.sampler).__name__,
            "grouped": self.groups is not None,
            "records": len(self.records),
            "digest": self.digest,
            "labels": self.labels,
        }

    def load_state_dict(self, state: dict[str, Any], *, seed: int | None = None) -> None:
        """Continue after the images that a saved loader has loaded. Call this method before the iteration starts.

        Args:
            state: saved state, the return value of ``state_dict``.
            seed: new seed. If None, use the seed in the state.
        """
        self.sampler.seed = state["seed"] if seed is None else seed
        self.num_images = state["images"]

    def differences(self, state: dict[str, Any]) -> list[str]:
        """List the differences from a saved ``state_dict`` that change the batches, such as "seed 1 before, 2 now".

        Values that ``state`` lacks are not compared, because earlier versions saved fewer values.
        """
        mine = self.state_dict()
        return [
            f"{words} {state[key]} before, {mine[key]} now"
            for key, words in _DIFFERENCES.items()
            if key in state and state[key] != mine[key]
        ]


def _mention_cores(num_workers: int) -> None:
    """Log a hint if there are more worker processes than CPU cores, because the additional workers only use memory."""
    cores = count_workers(None)
    if num_workers > cores:
        warn_once(
            logger,
            f"{num_workers} worker processes load images, but only {cores} cores are available. Reduce "
            "DATALOADER.NUM_WORKERS or num_workers to save memory. The loaded images stay the same",
            logging.INFO,
        )


def digest_of(records: Sequence[Record]) -> str:
    """Return a hash of the file names and ids of all images, in the order of the dataset dicts."""
    digest = hashlib.sha256()
    for name, number in zip(file_names(records), image_column(records, "image_id").tolist(), strict=True):
        digest.update(f"{name}\n{number}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def labels_digest(records: Sequence[Record]) -> str:
    """Return a hash of the annotations: the category and crowd flag of each object, and the boxes of some images.

    The hash includes the boxes of at most 2000 evenly spaced images. Reading all boxes would be slow for large
    datasets, such as LVIS with 1.27 million objects. The hash does not include masks, keypoints and label maps.
    """
    digest = hashlib.sha256()
    for objects in object_columns(records):
        digest.update(np.stack([objects.image, objects.category, objects.crowd], axis=1).astype(np.int64).tobytes())
    places = np.linspace(0, len(records) - 1, min(len(records), _MAX_IMAGES_WITH_BOXES)).astype(np.int64)
    for record in take(records, places):
        for item in record.get("annotations", ()):
            digest.update(np.asarray(item.get("bbox", ()), np.float64).tobytes())
    return digest.hexdigest()[:16]


class _Samples(Dataset):
    """PyTorch dataset of model inputs.

    A key is a pair (index of the dataset dict, position in the training sequence). The position determines the seed of
    the augmentation, so that an image gets a different augmentation in each epoch.
    """

    def __init__(self, records: Sequence[Record], mapper: Callable[[Record], Any], seed: int):
        self._records, self._mapper, self._seed = records, mapper, seed

    def __getitem__(self, item: tuple[int, int]) -> Any:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: list[tuple[int, int]]) -> list[Any]:
        """Return the model inputs of several keys. PyTorch calls this method once per batch instead of ``__getitem__``.

        Therefore the states of the global random generators are saved and restored once per batch, not once per image.
        """
        with generators_kept():
            return [self._sample(index, place) for index, place in items]

    def _sample(self, index: int, place: int) -> Any:
        """Return the model inputs of dataset dict ``index``. The position ``place`` determines the random numbers."""
        rng = None
        seed_cpu(mixed_seed(self._seed, place, _AUGMENTATION))
        for _ in range(_MAX_REPLACEMENTS):
            sample = self._mapper(self._records[index])
            if sample is not None:
                return sample
            rng = rng or np.random.default_rng(mixed_seed(self._seed, place, _REPLACEMENT))
            index = int(rng.integers(len(self._records)))
        raise DataError(
            f"mapper: expected model inputs, found None for {_MAX_REPLACEMENTS} dataset dicts in a row. None "
            "skips an image. The mapper must not skip so many images."
        )


class _Shares:
    """PyTorch batch sampler that yields this process's share of each batch.

    A share is a list of pairs (index of the dataset dict, position in the training sequence).

    Args:
        plan: composition of the batches over all processes.
        start: number of batches to skip.
    """

    def __init__(self, plan: BatchPlan, start: int):
        self._plan, self._start = plan, start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for indices, places in self._plan.batches(self._start):
            size = len(indices) // world_size()
            own = slice(rank() * size, (rank() + 1) * size)
            yield list(zip(indices[own].tolist(), places[own].tolist(), strict=True))
