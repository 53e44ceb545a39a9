"""What is known of all images and objects of a data set, as columns: for what goes through all of them.

A list of dataset dicts is read dict by dict. Sequences that make a dict when it is asked for
(``compiled.CompiledRecords``, ``joined.Joined``) have methods of these functions' names, which make none.

I records, M objects, P pairs.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

Records = Sequence[dict[str, Any]]

# What an object's mask is in ``ObjectColumns``.
NO_MASK, POLYGONS, RUN_LENGTHS = range(3)
# Images whose objects are held at a time.
STRETCH = 50_000


class ObjectColumns(NamedTuple):
    """M objects, in the order of their images."""

    # (M,) int64, the image's position in the records
    image: np.ndarray
    # (M,) int64
    category: np.ndarray
    # (M,) bool
    crowd: np.ndarray
    # (M,) int8
    mask: np.ndarray

    def without_crowds(self) -> "ObjectColumns":
        """Those that are trained on."""
        return ObjectColumns(*(column[~self.crowd] for column in self))


def take(records: Records, positions) -> Records:
    """Some of the records, by their positions, as a sequence of the same kind."""
    if hasattr(records, "take"):
        return records.take(np.asarray(positions, np.int64))
    return [records[position] for position in positions]


def object_columns(records: Records) -> Iterator[ObjectColumns]:
    """The objects of all records, of at most ``STRETCH`` images at a time."""
    for start in range(0, len(records), STRETCH):
        objects = objects_of(take(records, range(start, min(start + STRETCH, len(records)))))
        yield objects._replace(image=objects.image + start)


def objects_of(records: Records) -> ObjectColumns:
    """The objects of all records at once."""
    if hasattr(records, "objects_of"):
        return records.objects_of()
    annotations = [record.get("annotations", ()) for record in records]
    items = list(itertools.chain.from_iterable(annotations))
    return ObjectColumns(
        np.repeat(np.arange(len(annotations)), [len(each) for each in annotations]),
        np.array([item["category_id"] for item in items], np.int64),
        np.array([bool(item.get("iscrowd", 0)) for item in items], bool),
        np.array([_mask(item) for item in items], np.int8),
    )


def _mask(item: dict[str, Any]) -> int:
    segmentation = item.get("segmentation")
    return NO_MASK if segmentation is None else RUN_LENGTHS if isinstance(segmentation, dict) else POLYGONS


def file_names(records: Records) -> Iterator[str | None]:
    """Each record's image file, None where it has none."""
    if hasattr(records, "file_names"):
        return records.file_names()
    return (record.get("file_name") for record in records)


def image_column(records: Records, name: str) -> np.ndarray:
    """Each record's "image_id", "height" or "width": (I,), int64, or of objects, None where a dict has none."""
    if hasattr(records, "image_column"):
        return records.image_column(name)
    return np.fromiter((record.get(name) for record in records), dtype=object, count=len(records))


def files_with_sizes(records: Records) -> Iterator[tuple[str | None, tuple[int | None, int | None]]]:
    """Each record's image file and its annotated (width, height)."""
    sizes = (image_column(records, name).tolist() for name in ("width", "height"))
    return zip(file_names(records), zip(*sizes, strict=True), strict=True)


def different_pairs(objects: ObjectColumns) -> tuple[np.ndarray, np.ndarray]:
    """The different pairs of image and category, by image and then category: (P,) images, (P,) categories.

    Objects come by image: a stable sort finds most of them in order. (np.unique takes 50 times as long for LVIS.)
    """
    width = int(objects.category.max()) + 1 if len(objects.category) else 1
    keys = np.sort(objects.image * width + objects.category, kind="stable")
    return np.divmod(keys[np.diff(keys, prepend=-1) > 0], width)


def images_of_categories(records: Records, *, crowds: bool) -> tuple[np.ndarray, np.ndarray]:
    """The different pairs of category and image, by category and then image: (P,) categories, (P,) images.

    Both of integer types that are no wider than they need to be: there are millions of pairs.

    Args:
        crowds: whether crowds are objects.
    """
    stretches = (objects if crowds else objects.without_crowds() for objects in object_columns(records))
    pairs = [(np.zeros(0, np.int32), np.zeros(0, np.uint16))]
    pairs += [(image.astype(np.int32), _narrow(category)) for image, category in map(different_pairs, stretches)]
    image, category = map(np.concatenate, zip(*pairs, strict=True))
    del pairs
    order = np.argsort(category, kind="stable")  # by counting, where the numbers have 16 bits
    return category[order], image[order]


def _narrow(category: np.ndarray) -> np.ndarray:
    fits = not len(category) or 0 <= category.min() <= category.max() < 2**16
    return category.astype(np.uint16) if fits else category
