"""Read image classification datasets that the config key DATASETS.REGISTER describes, and check their config."""

import functools
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.data.catalog import Metadata

from seesaw_d2.data.classification.cifar import read_cifar
from seesaw_d2.data.classification.class_folders import read_folder
from seesaw_d2.data.classification.digits import read_digits
from seesaw_d2.data.classification.labelled import LabelledSet, long_tailed
from seesaw_d2.data.classification.labels import similar_names
from seesaw_d2.data.classification.lists_and_tables import read_inaturalist, read_list, read_names, read_table
from seesaw_d2.data.classification.numpy_arrays import read_arrays
from seesaw_d2.data.images.lookup import describe_near, near_files
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.utils.json_reading import absolute_path, fingerprint
from seesaw_d2.utils.messages import first_few, warn_once
from seesaw_d2.utils.plain_values import plain_problem
from seesaw_d2.utils.regular_files import irregular

logger = logging.getLogger(__name__)

# Maximum number of classes in the config key CLASSES. A larger number is probably a mistake, and the list of its class
# names would fill the memory.
MAX_CLASSES = 1_000_000
_COMMON = ("NAME", "IMBALANCE", "SEED")
EVALUATOR_TYPE = "classification"


@dataclass(frozen=True)
class LabelledImages:
    """Description of a classification dataset: the validated values of one dict in the config list DATASETS.REGISTER.

    Attributes:
        name: name of the dataset.
        source: type of the dataset, a key of ``SOURCES`` such as "CSV" or "FOLDER".
        path: absolute path of the file or folder to read. For the source DIGITS, the split "train" or "test".
        images: absolute path of the image folder, or "" for sources without the key IMAGES.
        classes: number of classes, or absolute path of a file with the class names. None if the dataset itself
            contains the class names.
        split: "train" or "test", or "" for sources without the key SPLIT.
        imbalance: ratio of the largest to the smallest class in a long-tailed subset. If 1, use the complete dataset.
        seed: seed of the random choice of images for the long-tailed subset.
    """

    name: str
    source: str
    path: str
    images: str = ""
    classes: int | str | None = None
    split: str = ""
    imbalance: float = 1.0
    seed: int = 0

    def load(self) -> list[dict[str, Any]]:
        """Read the dataset, and return one dataset dict per image. Its only annotation contains the label.

        Raises:
            DataError: a file is missing or invalid.
        """
        return self._read().to_dataset_dicts()

    def class_names(self) -> list[str]:
        return list(self._read().names)

    def files(self) -> Sequence[str]:
        """Return the paths of the image files, or an empty list if the images are arrays in memory."""
        return self._read().files or []

    def digest(self) -> str:
        """Return a hash of the image paths, labels, class names, and the source file's size and modification time."""
        labelled, file = self._read(), fingerprint(self.path) if os.path.isfile(self.path) else None
        text = f"{file} {labelled.names} {labelled.files}".encode(errors="backslashreplace")
        return hashlib.sha256(text + labelled.labels.tobytes()).hexdigest()

    def metadata(self) -> Metadata:
        metadata = _LazyClasses(name=self.name)
        metadata.set(evaluator_type=EVALUATOR_TYPE, entry=self)
        return metadata

    def _read(self) -> LabelledSet:
        return _read(self, fingerprint(self.path), fingerprint(str(self.classes)))


class _LazyClasses(Metadata):
    """Subclass of Detectron2's ``Metadata`` that reads the dataset only when "thing_classes" is first accessed."""

    def __getattr__(self, key: str) -> Any:
        if key == "thing_classes":
            self.__dict__[key] = self.entry.class_names()
            return self.__dict__[key]
        return super().__getattr__(key)


@dataclass(frozen=True)
class Source:
    """Type of classification datasets that can be registered, such as CSV files or folders with images.

    A dict in the config list DATASETS.REGISTER selects the type by its key, such as ``{"NAME": ..., "CSV": "a.csv"}``.

    Attributes:
        read: function that reads the images and labels. The arguments are the registered dataset and its class names
            from the key CLASSES. The class names are None without this key.
        path: meaning of the value of the selecting key (CSV in the example):

            - "file": path of a file.
            - "folder": path of a folder.
            - "split": the split, "train" or "test".
        needed: further keys that the dict must contain, such as IMAGES.
        optional: further keys that the dict may contain, such as CLASSES.
    """

    read: Callable[[LabelledImages, Any], LabelledSet]
    path: str = "file"
    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


# Supported types of classification datasets. Each key, such as "CSV", selects the type of a dataset in the config
# list DATASETS.REGISTER. Each value contains the function that reads the dataset, and the config keys that this type
# needs.
SOURCES = {
    "LIST": Source(lambda entry, names: read_list(entry.path, entry.images, names), needed=("IMAGES", "CLASSES")),
    "CSV": Source(lambda entry, names: read_table(entry.path, entry.images, names), needed=("IMAGES", "CLASSES")),
    "FOLDER": Source(lambda entry, names: read_folder(entry.path, names), "folder", optional=("CLASSES",)),
    "INATURALIST": Source(lambda entry, names: read_inaturalist(entry.path, entry.images), needed=("IMAGES",)),
    "CIFAR": Source(lambda entry, names: read_cifar(entry.path, entry.split), "folder", needed=("SPLIT",)),
    "NPZ": Source(lambda entry, names: read_arrays(entry.path)),
    "DIGITS": Source(lambda entry, names: read_digits(entry.path), "split"),
}


@functools.lru_cache(maxsize=8)
def _read(entry: LabelledImages, *_fingerprints) -> LabelledSet:
    names = read_names(entry.classes) if isinstance(entry.classes, str) else None
    if isinstance(entry.classes, int):
        names = tuple(map(str, range(entry.classes)))
    labelled = SOURCES[entry.source].read(entry, names)
    if problem := plain_problem(labelled.names):
        raise DataError(f"{entry.path}, class names: {problem}")
    if similar := similar_names(labelled.names):
        text = f"some class names differ only in case, spaces or Unicode form: {first_few(similar)}"
        warn_once(logger, f"{entry.path}: {text}. If such names mean one class, rename the classes.")
    return long_tailed(labelled, entry.imbalance, entry.seed) if entry.imbalance > 1 else labelled


def parse_labelled_images(value: Mapping, where: str) -> LabelledImages:
    """Check the config of a classification dataset, and make the paths in the config absolute.

    Args:
        value: dict in the config list DATASETS.REGISTER, with at least one key of ``SOURCES``.
        where: config key of this dict, such as "DATASETS.REGISTER[0]", for messages.

    Raises:
        ConfigError: a key is missing or unknown, a value is invalid, or a file or folder does not exist.
    """
    (source, *others) = [key for key in SOURCES if key in value]
    if others:
        raise ConfigError(
            f"{where}: expected exactly one of the keys {', '.join(SOURCES)}, found {', '.join((source, *others))}"
        )
    _check_keys(value, where, source)
    if not isinstance(value["NAME"], str) or not value["NAME"].strip():
        raise ConfigError(f"{where}.NAME: expected a non-empty string, found {value['NAME']!r}")
    kind = SOURCES[source].path
    if kind == "split":
        path = _choice(value, source, where)
    else:
        path = _existing(value, source, where, is_file=kind == "file")
    images = _existing(value, "IMAGES", where, is_file=False) if "IMAGES" in value else ""
    return LabelledImages(
        name=value["NAME"],
        source=source,
        path=path,
        images=images,
        classes=_classes(value, where) if "CLASSES" in value else None,
        split=_choice(value, "SPLIT", where) if "SPLIT" in value else "",
        imbalance=_number(value, "IMBALANCE", where, 1.0, (int, float), "a number >= 1", 1),
        seed=_number(value, "SEED", where, 0, (int,), "an integer >= 0", 0),
    )


def _check_keys(value: Mapping, where: str, source: str) -> None:
    needed = SOURCES[source].needed
    known = (*_COMMON[:1], source, *needed, *SOURCES[source].optional, *_COMMON[1:])
    for key in value:
        if key not in known:
            hint = did_you_mean(near_names(str(key).upper(), known))
            raise ConfigError(
                f"{where}.{key}: this key is unknown. The known keys of an entry with {source} are "
                f"{', '.join(known)}{hint}"
            )
    for key in ("NAME", *needed):
        if key not in value:
            raise ConfigError(
                f"{where}: expected the keys {', '.join(('NAME', *needed))} together with {source}, found no key {key}"
            )


def _existing(value: Mapping, key: str, where: str, *, is_file: bool) -> str:
    what = "a file" if is_file else "a folder"
    if not isinstance(value[key], str) or not value[key].strip():
        raise ConfigError(f"{where}.{key}: expected the path of {what}, found {value[key]!r}")
    path = absolute_path(value[key])
    if not (os.path.isfile if is_file else os.path.isdir)(path):
        near = describe_near(near_files([path])) if is_file and not os.path.exists(path) else ""
        found = f"{irregular(path) or 'a file' if os.path.exists(path) else 'nothing'} at {path}"
        raise ConfigError(f"{where}.{key}: expected {what}, found {found}{near}")
    return path


def _classes(value: Mapping, where: str) -> int | str:
    classes = value["CLASSES"]
    if isinstance(classes, str):
        return _existing(value, "CLASSES", where, is_file=True)
    if type(classes) is not int or not 1 <= classes <= MAX_CLASSES:
        raise ConfigError(
            f"{where}.CLASSES: expected a number of classes from 1 to {MAX_CLASSES}, or the path of a file with class "
            f"names, found {classes!r}"
        )
    return classes


def _choice(value: Mapping, key: str, where: str) -> str:
    if value[key] not in ("train", "test"):
        raise ConfigError(f'{where}.{key}: expected "train" or "test", found {value[key]!r}')
    return value[key]


def _number(value: Mapping, key: str, where: str, default, types, expected: str, least):
    number = value.get(key, default)
    if type(number) not in types or not least <= number < float("inf"):
        raise ConfigError(f"{where}.{key}: expected {expected}, found {number!r}")
    return number
