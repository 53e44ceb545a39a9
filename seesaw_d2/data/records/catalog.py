"""Dataset dicts and categories of registered data sets, including those of Detectron2."""

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


class LazyMetadata(Metadata):
    """Detectron2's Metadata that reads the categories from the annotation file at the first access."""

    def __getattr__(self, key: str) -> Any:
        if key in ("thing_classes", "thing_dataset_id_to_contiguous_id"):
            self.set_categories(open_annotations(self.json_file, self.dataset_format))
            return self.__dict__[key]
        if key == "stuff_classes" and "sem_seg_classes" in self.__dict__:
            return list(read_classes(self.sem_seg_classes).names)
        return super().__getattr__(key)

    def set_categories(self, file: AnnotationFile | CompiledFile) -> None:
        # Do not use __setattr__, which would access the old values and thereby read the file.
        self.__dict__["thing_classes"] = file.category_names
        contiguous = {value: index for index, value in enumerate(file.category_ids)}
        self.__dict__["thing_dataset_id_to_contiguous_id"] = contiguous


def check_registered(name: str, key: str) -> None:
    """Raise a ConfigError that names the config key and similar names if no data set has this name."""
    if name not in DatasetCatalog:
        near = map(repr, near_names(name, DatasetCatalog, count=3, cutoff=0.5))
        raise ConfigError(f"{key}: no data set is called {name!r}{did_you_mean(near) or '; see DATASETS.REGISTER'}")


def load_dataset(name: str) -> Sequence[dict[str, Any]]:
    """Return Detectron2's dataset dicts of a registered data set without checking image files.

    Returns:
        a list or, for a large annotation file, a ``CompiledRecords``, which creates each dict when it is indexed.

    Raises:
        DataError: the annotation file is missing or wrong, or has no image.
    """
    check_annotation_file(name)
    if loads_lvis_json(DatasetCatalog[name]):
        file, metadata = _annotation_file(name, open_annotations), MetadataCatalog.get(name)
        dicts = file.to_dataset_dicts(metadata.image_root, _contiguous_ids(name, file))
    else:
        dicts = _registered_dicts(name)
        if loads_coco_json(DatasetCatalog[name]):
            check_below(dicts, MetadataCatalog.get(name).image_root, MetadataCatalog.get(name).json_file)
    if not dicts:
        raise DataError(f"data set {name!r} is empty; expected at least one image")
    return dicts


def _registered_dicts(name: str) -> list[dict[str, Any]]:
    try:
        return DatasetCatalog.get(name)
    except OSError as error:  # Detectron2's loaders of Cityscapes and Pascal VOC
        raise DataError(f"data set {name!r}: its files cannot be read: {error}") from error


def read_annotation_file(name: str) -> AnnotationFile:
    """Return the annotation file of a registered data set. Callers share its entries, so do not modify them.

    Raises:
        ConfigError: the data set is not registered, or its metadata names no annotation file.
        DataError: the file is missing or wrong.
    """
    return _annotation_file(name, open_whole)


def _annotation_file(name: str, read: Callable):
    """Read the annotation file with ``read`` and store its categories in the metadata."""
    if name not in DatasetCatalog.list():
        raise ConfigError(
            f"data set {name!r}: expected a registered one, found no such name; DATASETS.REGISTER adds one"
        )
    check_annotation_file(name)
    metadata = MetadataCatalog.get(name)
    if metadata.get("json_file") is None:
        raise ConfigError(
            f"data set {name!r}: expected the path of an annotation file as json_file in its metadata, found none"
        )
    path = PathManager.get_local_path(metadata.json_file)
    # Detectron2's own registrations set the evaluator type but not the format.
    usual = "coco" if str(metadata.get("evaluator_type")).startswith("coco") else "lvis"
    file = read(path, metadata.get("dataset_format", usual))
    if isinstance(metadata, LazyMetadata):
        metadata.set_categories(file)
    elif metadata.get("thing_classes") is None:
        metadata.thing_classes = file.category_names
    return file


def category_ids(name: str, file: AnnotationFile) -> list[int]:
    """Return the file's category id of each contiguous index, (C,)."""
    contiguous = _contiguous_ids(name, file)
    return [category for category, _ in sorted(contiguous.items(), key=lambda item: item[1])]


def class_names(name: str) -> list[str] | None:
    """Return the category names of a registered data set in the order of their indices, or None if unknown."""
    return MetadataCatalog.get(name).get("thing_classes")


def categories_of(name: str, key: str) -> Categories | None:
    """Return the class names of a data set in the order of their indices, or None if they are unknown.

    They are read from the annotation file if Detectron2 would only know them after loading the data set.

    Args:
        key: config key that contains the data set's name, for messages.

    Raises:
        DataError: the annotation file is missing or invalid.
    """
    if name not in DatasetCatalog:
        return None
    names = class_names(name)
    if not names and loads_coco_json(DatasetCatalog[name]):
        check_annotation_file(name)
        names = open_annotations(PathManager.get_local_path(MetadataCatalog.get(name).json_file)).category_names
    return Categories(tuple(names), f"data set {name!r} ({key})") if names else None


def _contiguous_ids(name: str, file: AnnotationFile | CompiledFile) -> dict[int, int]:
    """Return a dict from category id to index. For LVIS's built-in metadata the index is id - 1, as in Detectron2."""
    metadata = MetadataCatalog.get(name)
    contiguous = metadata.get("thing_dataset_id_to_contiguous_id")
    if contiguous is None:
        if metadata.thing_classes == file.category_names:
            return {value: index for index, value in enumerate(file.category_ids)}
        contiguous = {index + 1: index for index in range(len(metadata.thing_classes))}
    unknown = [value for value in file.category_ids if value not in contiguous]
    if unknown:
        raise DataError(
            f"{file.path}: categories {unknown[:5]} are not among the {len(contiguous)} of data set "
            f"{name!r}; register the file under another name (DATASETS.REGISTER)"
        )
    return contiguous


def check_annotation_file(name: str) -> None:
    """Raise a DataError if the annotation file of a data set is missing, and name the folder of built-in data sets."""
    path = MetadataCatalog.get(name).get("json_file")
    if path and "://" not in path and not os.path.isfile(path):
        root = os.getenv("DETECTRON2_DATASETS", "datasets")
        raise DataError(
            f"data set {name!r}: no annotation file at {path}. Detectron2 looks for its built-in data sets "
            f"in $DETECTRON2_DATASETS (here {root!r}, read when the program starts)"
        )
