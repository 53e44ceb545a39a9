"""Load the dataset dicts and categories of registered datasets, including datasets of Detectron2."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata
from detectron2.utils.file_io import PathManager

from seesaw_d2.compat import loads_coco_json, loads_lvis_json
from seesaw_d2.data.images.image_files import check_below
from seesaw_d2.data.records.annotation_files import AnnotationFile
from seesaw_d2.data.records.cache.lazy_dicts import CompiledFile
from seesaw_d2.data.records.cache.store import open_annotations, open_whole
from seesaw_d2.data.records.semantic import read_classes
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.utils.category_names import Categories
from seesaw_d2.utils.messages import first_few, reason


class LazyMetadata(Metadata):
    """Detectron2's ``Metadata``, extended to read the categories from the annotation file on first access."""

    def __getattr__(self, key: str) -> Any:
        if key in ("thing_classes", "thing_dataset_id_to_contiguous_id"):
            self.set_categories(open_annotations(self.json_file, self.dataset_format))
            return self.__dict__[key]
        if key == "stuff_classes" and "sem_seg_classes" in self.__dict__:
            return list(read_classes(self.sem_seg_classes).names)
        return super().__getattr__(key)

    def set_categories(self, file: AnnotationFile | CompiledFile) -> None:
        # Write to __dict__ directly. Detectron2's __setattr__ would first get the old value, which would read the
        # annotation file.
        self.__dict__["thing_classes"] = file.category_names
        contiguous = {value: index for index, value in enumerate(file.category_ids)}
        self.__dict__["thing_dataset_id_to_contiguous_id"] = contiguous


def check_registered(name: str, key: str | None = None) -> None:
    """Raise ConfigError if no dataset with this name is registered in Detectron2's DatasetCatalog.

    Args:
        name: name of the dataset.
        key: config key that contains the name, such as "DATASETS.TRAIN", for messages. None if no key contains it.
    """
    if name not in DatasetCatalog:
        hint = did_you_mean(map(repr, near_names(name, DatasetCatalog, count=3, cutoff=0.5)))
        remedy = " Otherwise, add" if hint else ". Add"
        raise ConfigError(
            f"{f'{key}: ' if key else ''}no dataset called {name!r} is registered{hint}{remedy} the dataset to "
            "DATASETS.REGISTER, or register it in your program."
        )


def load_dataset(name: str) -> Sequence[dict[str, Any]]:
    """Return the dataset dicts of a registered dataset. Do not check whether the image files exist.

    Returns:
        a list of dicts. For a large annotation file, a ``CompiledRecords``, a sequence that creates each dict on
        access.

    Raises:
        ConfigError: no dataset with this name is registered.
        DataError: the annotation file is missing or invalid, or contains no images.
    """
    check_registered(name)
    check_annotation_file(name)
    if loads_lvis_json(DatasetCatalog[name]):
        file, metadata = _annotation_file(name, open_annotations), MetadataCatalog.get(name)
        dicts = file.to_dataset_dicts(metadata.image_root, _contiguous_ids(name, file))
    else:
        dicts = _registered_dicts(name)
        if loads_coco_json(DatasetCatalog[name]):
            check_below(dicts, MetadataCatalog.get(name).image_root, MetadataCatalog.get(name).json_file)
    if not dicts:
        raise DataError(f"dataset {name!r}: expected at least one image, found no images")
    return dicts


def _registered_dicts(name: str) -> list[dict[str, Any]]:
    try:
        return DatasetCatalog.get(name)
    except OSError as error:  # Detectron2's loaders of Cityscapes and Pascal VOC raise this error for missing files
        raise DataError(
            f"dataset {name!r}: cannot read a file ({reason(error)}). Check that the dataset is complete, and that "
            "the environment variable DETECTRON2_DATASETS contains the path of its parent folder."
        ) from error


def read_annotation_file(name: str) -> AnnotationFile:
    """Return the annotation file of a registered dataset. Do not modify the result, because all callers share it.

    Raises:
        ConfigError: the dataset is not registered, or its metadata has no ``json_file``.
        DataError: the file is missing or invalid.
    """
    return _annotation_file(name, open_whole)


def _annotation_file(name: str, read: Callable):
    """Open the annotation file of a registered dataset, and store its categories in Detectron2's metadata.

    Args:
        name: name of the dataset.
        read: function that opens the file. ``open_annotations`` compiles large files to arrays on disk. ``open_whole``
            reads the whole file into memory.
    """
    check_registered(name)
    check_annotation_file(name)
    metadata = MetadataCatalog.get(name)
    if metadata.get("json_file") is None:
        raise ConfigError(
            f"dataset {name!r}: the metadata lacks json_file. Set json_file in Detectron2's MetadataCatalog to the "
            "path of the annotation file."
        )
    path = PathManager.get_local_path(metadata.json_file)
    # Only datasets of this package have ``dataset_format`` in their metadata. For Detectron2's built-in datasets, the
    # evaluator type determines the format.
    usual = "coco" if str(metadata.get("evaluator_type")).startswith("coco") else "lvis"
    file = read(path, metadata.get("dataset_format", usual))
    if isinstance(metadata, LazyMetadata):
        metadata.set_categories(file)
    elif metadata.get("thing_classes") is None:
        metadata.thing_classes = file.category_names
    return file


def category_ids(name: str, file: AnnotationFile) -> list[int]:
    """Return the category ids of a dataset, in the order of Detectron2's contiguous ids (class indices).

    Args:
        name: name of the dataset.
        file: annotation file of the dataset.
    """
    contiguous = _contiguous_ids(name, file)
    return [category for category, _ in sorted(contiguous.items(), key=lambda item: item[1])]


def class_names(name: str) -> list[str] | None:
    """Return the category names of a registered dataset in the order of class indices, or None if unknown."""
    return MetadataCatalog.get(name).get("thing_classes")


def categories_of(name: str, key: str) -> Categories | None:
    """Return the category names of a dataset in the order of class indices, or None if the names are unknown.

    For datasets of ``register_coco_instances``, read the names from the annotation file, because Detectron2's metadata
    contains the names only after the dataset is loaded.

    Args:
        name: name of the dataset.
        key: config key that contains the name, such as "DATASETS.TRAIN", for messages.

    Raises:
        DataError: the annotation file is missing or invalid.
    """
    if name not in DatasetCatalog:
        return None
    names = class_names(name)
    if not names and loads_coco_json(DatasetCatalog[name]):
        check_annotation_file(name)
        names = open_annotations(PathManager.get_local_path(MetadataCatalog.get(name).json_file)).category_names
    return Categories(tuple(names), f"dataset {name!r} ({key})") if names else None


def _contiguous_ids(name: str, file: AnnotationFile | CompiledFile) -> dict[int, int]:
    """Return a dict from each category id of a dataset to Detectron2's contiguous id (class index).

    The dict comes from the metadata of the dataset. The metadata of Detectron2's built-in LVIS datasets contains only
    the category names. If these names equal the names in the file, the contiguous id of a category is its index in
    ``file.category_ids``. Otherwise, the contiguous id is the category id minus 1.

    Raises:
        DataError: the file contains a category id that is not in the dict.
    """
    metadata = MetadataCatalog.get(name)
    contiguous = metadata.get("thing_dataset_id_to_contiguous_id")
    if contiguous is None:
        if metadata.thing_classes == file.category_names:
            return {value: index for index, value in enumerate(file.category_ids)}
        contiguous = {index + 1: index for index in range(len(metadata.thing_classes))}
    unknown = [value for value in file.category_ids if value not in contiguous]
    if unknown:
        raise DataError(
            f"{file.path}: the metadata of dataset {name!r} contains {len(contiguous)} category ids, but not the ids "
            f"{first_few(unknown)} of this file. Register the file under another name in DATASETS.REGISTER."
        )
    return contiguous


def check_annotation_file(name: str) -> None:
    """Raise DataError if the annotation file of a dataset does not exist."""
    path = MetadataCatalog.get(name).get("json_file")
    if path and "://" not in path and not os.path.isfile(path):
        root = os.getenv("DETECTRON2_DATASETS", "datasets")
        raise DataError(
            f"dataset {name!r}: expected an annotation file at {path}, found no such file. Detectron2 expects its "
            f"built-in datasets in the folder {root!r}. If they are in another folder, set the environment variable "
            "DETECTRON2_DATASETS to this folder."
        )
