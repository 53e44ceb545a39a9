"""Register the custom datasets of DATASETS.REGISTER with Detectron2."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata

from seesaw_d2.data.classification.sources import SOURCES, LabelledImages, parse_labelled_images
from seesaw_d2.data.images.lookup import describe_near, near_files
from seesaw_d2.data.records.cache.store import open_annotations
from seesaw_d2.data.records.catalog import LazyMetadata
from seesaw_d2.data.records.formats import AUTO, FORMATS
from seesaw_d2.data.records.semantic import SEMANTIC_KEYS, SemanticLabels, parse_semantic
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.utils.declared_keys import added_value
from seesaw_d2.utils.json_reading import absolute_path
from seesaw_d2.utils.messages import warn_once
from seesaw_d2.utils.untrusted_paths import below

logger = logging.getLogger(__name__)

_KEY = "DATASETS.REGISTER"
_REQUIRED = ("NAME", "JSON", "IMAGES")
_KNOWN = (*_REQUIRED, "FORMAT", *SEMANTIC_KEYS)


@dataclass(frozen=True)
class DatasetEntry:
    """Detection dataset that DATASETS.REGISTER describes, after checks of all values.

    Attributes:
        name: name under which the dataset is registered.
        json_file: absolute path of the annotation file.
        image_root: absolute path of the image folder.
        format: "lvis", "coco" or another key of ``FORMATS``, or "auto" to detect the format.
        semantic: label maps for semantic segmentation. If None, the dataset has no label maps.
    """

    name: str
    json_file: str
    image_root: str
    format: str = AUTO
    semantic: SemanticLabels | None = None

    def load(self) -> Sequence[dict[str, Any]]:
        """Read the dataset dicts, and store the categories in Detectron2's MetadataCatalog."""
        file = open_annotations(self.json_file, self.format)
        metadata = MetadataCatalog.get(self.name)
        if isinstance(metadata, LazyMetadata):
            metadata.set_categories(file)
        records = file.to_dataset_dicts(self.image_root)
        return self.semantic.added_to(records, self.image_root) if self.semantic else records

    def metadata(self) -> Metadata:
        metadata = LazyMetadata(name=self.name)
        metadata.set(
            json_file=self.json_file,
            image_root=self.image_root,
            evaluator_type="lvis",
            dataset_format=self.format,
        )
        if self.semantic:
            metadata.set(sem_seg_root=self.semantic.folder, sem_seg_classes=self.semantic.classes_file)
        return metadata


_registered: dict[str, DatasetEntry | LabelledImages] = {}


def register_datasets(cfg: CfgNode) -> None:
    """Register the datasets of DATASETS.REGISTER in Detectron2's DatasetCatalog and MetadataCatalog.

    This function checks that the files exist, but does not read them. Registering a dataset again with the same values
    has no effect.

    Raises:
        ConfigError: an element of the list is not a mapping, a key is missing or unknown, a file or folder does not
            exist, or a name is already registered with other values. The message starts with the position in the list,
            such as ``DATASETS.REGISTER[0].NAME``.
    """
    entries = [_parse(value, f"{_KEY}[{index}]") for index, value in enumerate(added_value(cfg, _KEY))]
    for index, entry in enumerate(entries):
        # Refuse names such as "../x". The name of a dataset is also the name of its results folder, which would then
        # be outside the output folder.
        below("", entry.name, f"{_KEY}[{index}].NAME")
        same = [other for other in range(index) if entries[other].name == entry.name]
        if same:
            raise ConfigError(
                f"{_KEY}[{index}].NAME: expected a unique name, found {entry.name!r}, which is also the name of "
                f"{_KEY}[{same[0]}]"
            )
        _check_free(entry, f"{_KEY}[{index}]")
    for entry in entries:
        register_dataset(entry)


def register_dataset(entry: DatasetEntry | LabelledImages) -> None:
    """Register one dataset in Detectron2's catalogs, unless it is already registered with the same values."""
    if entry.name in DatasetCatalog and _registered.get(entry.name) == entry:
        return
    DatasetCatalog.register(entry.name, entry.load)
    MetadataCatalog[entry.name] = entry.metadata()
    _registered[entry.name] = entry


def is_foreign(name: str) -> bool:
    """Return True if Detectron2 or another program, not this module, has registered a dataset with this name."""
    return name in DatasetCatalog and name not in _registered


def provide_names(cfg: CfgNode) -> None:
    """Add the datasets of DATASETS.REGISTER to Detectron2's MetadataCatalog, but not to the DatasetCatalog.

    Detectron2's DefaultPredictor and Visualizer can then show the class names of these datasets. If a dataset is
    invalid, for example because files are missing, log a warning and skip it.
    """
    for index, value in enumerate(added_value(cfg, _KEY)):
        try:
            entry = _parse(value, f"{_KEY}[{index}]")
        except SeesawError as error:
            warn_once(logger, f"Drawings will show class indices instead of names: {error}")
            continue
        if entry.name not in MetadataCatalog.list():
            MetadataCatalog[entry.name] = entry.metadata()


def _parse(value: Any, where: str) -> DatasetEntry | LabelledImages:
    """Check one element of the list DATASETS.REGISTER, and make its paths absolute.

    Args:
        value: the element, a mapping with keys such as NAME, JSON and IMAGES.
        where: position of the element for messages, such as "DATASETS.REGISTER[0]".
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected a mapping with the keys {', '.join(_KNOWN)}, found {value!r}")
    if any(key in SOURCES for key in value):
        return parse_labelled_images(value, where)
    for key in value:
        if key not in _KNOWN:
            hint = did_you_mean(near_names(str(key).upper(), _KNOWN))
            raise ConfigError(f"{where}.{key}: this key is unknown. The known keys are {', '.join(_KNOWN)}{hint}")
    for key in _REQUIRED:
        if key not in value:
            raise ConfigError(
                f"{where}: expected the keys {', '.join(_REQUIRED)} and optionally FORMAT, found no key {key}"
            )
    for key, text in value.items():
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"{where}.{key}: expected a non-empty string, found {text!r}")
    dataset_format, known = value.get("FORMAT", AUTO), (*FORMATS, AUTO)
    if dataset_format not in known:
        raise ConfigError(f"{where}.FORMAT: expected one of {', '.join(known)}, found {dataset_format!r}")
    json_file, image_root = absolute_path(value["JSON"]), absolute_path(value["IMAGES"])
    if not os.path.isfile(json_file):
        found = f"the folder {json_file}" if os.path.isdir(json_file) else f"no file at {json_file}"
        demo = (
            ". Create the file with: python datasets/prepare_glyphs.py"
            if "glyphs" in os.path.basename(json_file)
            else ""
        )
        near = describe_near(near_files([json_file]))
        raise ConfigError(f"{where}.JSON: expected an annotation file, found {found}{demo}{near}")
    if not os.path.isdir(image_root):
        raise ConfigError(f"{where}.IMAGES: expected a folder of images, found no folder at {image_root}")
    return DatasetEntry(value["NAME"], json_file, image_root, dataset_format, parse_semantic(value, where))


def _check_free(entry: DatasetEntry | LabelledImages, where: str) -> None:
    if entry.name not in DatasetCatalog or _registered.get(entry.name) == entry:
        return
    other = _registered.get(entry.name)
    owner = "a dataset of Detectron2 or of another program"
    if other:
        values = ", ".join(f"{key} {value}" for key, value in vars(other).items() if value)
        owner = f"a dataset that was registered with other values ({values})"
    raise ConfigError(
        f"{where}.NAME: expected an unused name, found {entry.name!r}, the name of {owner}. Choose another name."
    )
