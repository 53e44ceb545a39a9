"""Define the formats of annotation files. To support another format, add an entry to ``FORMATS``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

AUTO = "auto"
# Fields of images in LVIS files that contain lists of category ids.
ID_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")


def _coco_file(image: dict[str, Any]) -> Any:
    return image.get("file_name")


def _lvis_file(image: dict[str, Any]) -> Any:
    url = image.get("coco_url")
    return "/".join(url.split("/")[-2:]) if isinstance(url, str) and url else image.get("file_name")


def _is_lvis(data: dict[str, Any]) -> bool:
    images = data.get("images")
    return isinstance(images, list) and all("neg_category_ids" in image for image in images if isinstance(image, dict))


@dataclass(frozen=True)
class AnnotationFormat:
    """Format of annotation files, described by its differences from COCO's format.

    Attributes:
        name: value of FORMAT in DATASETS.REGISTER.
        file_name: function that maps an entry of "images" to the file name relative to the image folder.
        file_fields: the fields that ``file_name`` reads, for messages.
        federated: whether dataset dicts contain the fields ``ID_LISTS``.
        matches: function that returns whether FORMAT "auto" selects this format for the parsed content of a file. The
            content may lack annotations.
        convert: function that converts the parsed content to the structure of COCO files. If None, the format has this
            structure.
    """

    name: str
    file_name: Callable[[dict[str, Any]], Any] = _coco_file
    file_fields: str = '"file_name"'
    federated: bool = False
    matches: Callable[[dict[str, Any]], bool] = lambda data: False
    convert: Callable[[dict[str, Any]], dict[str, Any]] | None = None


LVIS = AnnotationFormat("lvis", _lvis_file, '"coco_url" or "file_name"', federated=True, matches=_is_lvis)
COCO = AnnotationFormat("coco")
FORMATS = {each.name: each for each in (LVIS, COCO)}


def find_format(name: str, data: dict[str, Any]) -> AnnotationFormat:
    """Return the format with this name. For "auto", return the first format that matches ``data``.

    If no format matches, return COCO.
    """
    if name != AUTO:
        return FORMATS[name]
    return next((each for each in FORMATS.values() if each.matches(data)), COCO)
