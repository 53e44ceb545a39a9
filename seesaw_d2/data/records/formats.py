"""Define the formats of annotation files, such as LVIS and COCO. ``FORMATS`` maps each name to its format."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few

AUTO = "auto"
# Each image in an LVIS file has these lists of category ids. The first list contains categories that are certainly
# absent from the image. The second list contains categories of which not all instances are annotated.
ID_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")


def _lvis_file(image: dict[str, Any]) -> Any:
    """Return "folder/name" from the end of an LVIS image's "coco_url", or else the "file_name" of the image."""
    url = image.get("coco_url")
    return "/".join(url.split("/")[-2:]) if isinstance(url, str) and url else image.get("file_name")


def has_id_lists(image: dict[str, Any]) -> bool:
    """Return True if an image of an annotation file has "neg_category_ids" or "not_exhaustive_category_ids".

    Only the LVIS format has these fields.
    """
    return any(field in image for field in ID_LISTS)


def _images_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    images = data.get("images")
    return [image for image in images if isinstance(image, dict)] if isinstance(images, list) else []


def _is_lvis(data: dict[str, Any]) -> bool:
    return any(map(has_id_lists, _images_of(data)))


@dataclass(frozen=True)
class AnnotationFormat:
    """Format of annotation files. The attributes describe the differences from the COCO format.

    Attributes:
        name: value of FORMAT in DATASETS.REGISTER that selects this format.
        file_name: function that maps an element of "images" to the file name relative to the image folder.
        file_fields: the fields that ``file_name`` reads, for messages.
        federated: if True, copy the fields "neg_category_ids" and "not_exhaustive_category_ids" of images to the
            dataset dicts.
        matches: function that returns True if FORMAT "auto" selects this format for the parsed content of a file. The
            content may lack annotations.
        convert: function that converts the parsed content of a file to the structure of COCO files. If None, the
            content already has this structure.
    """

    name: str
    file_name: Callable[[dict[str, Any]], Any] = lambda image: image.get("file_name")
    file_fields: str = '"file_name"'
    federated: bool = False
    matches: Callable[[dict[str, Any]], bool] = lambda data: False
    convert: Callable[[dict[str, Any]], dict[str, Any]] | None = None


LVIS = AnnotationFormat("lvis", _lvis_file, '"coco_url" or "file_name"', federated=True, matches=_is_lvis)
COCO = AnnotationFormat("coco")
FORMATS = {each.name: each for each in (LVIS, COCO)}


def find_format(name: str, data: dict[str, Any], path: str) -> AnnotationFormat:
    """Return the format called ``name``. For "auto", return the first format that matches ``data``, or else COCO.

    Args:
        name: a key of ``FORMATS``, or "auto".
        data: parsed content of the annotation file.
        path: path of the file, for messages.

    Raises:
        DataError: the name is "auto", and only some images have the lists of category ids of the LVIS format.
    """
    if name != AUTO:
        return FORMATS[name]
    found = next((each for each in FORMATS.values() if each.matches(data)), COCO)
    if found is LVIS:
        _check_complete(_images_of(data), path)
    return found


def _check_complete(images: list[dict[str, Any]], path: str) -> None:
    """Raise DataError if an image of an LVIS file lacks ``neg_category_ids``.

    Without this list, LVIS evaluation would treat the image as checked for all categories, and would count more false
    positives.
    """
    lacking = [image.get("id") for image in images if ID_LISTS[0] not in image]
    if lacking:
        raise DataError(
            f'{path}: "{ID_LISTS[0]}": expected this list of the LVIS format in all images or in no image, found '
            f"{len(lacking)} of {len(images)} images without this list (image ids {first_few(lacking)}). "
            f"{sum(map(has_id_lists, images))} images have {' or '.join(ID_LISTS)}. Without this list, all categories "
            "that an image lacks count as absent. Add the lists, or set FORMAT to lvis or coco in DATASETS.REGISTER."
        )
