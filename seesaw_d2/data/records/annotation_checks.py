"""Check the fields, types, ids and references in a parsed annotation file (COCO or LVIS format).

Each check first tests a field of all images, categories or annotations together, which is fast. If this test fails, a
slower loop finds the invalid values.
"""

import contextlib
import itertools
import logging
import reprlib
from typing import Any

import numpy as np

from seesaw_d2.data.records.foreign_formats import foreign_format
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few, json_type, warn_once
from seesaw_d2.utils.plain_values import plain_problem

logger = logging.getLogger(__name__)

NUMBERS = {int, float}
_MISSING = object()
# Maximum height and width of an image in pixels. Lengths and areas in larger images could overflow.
MAX_SIDE = 1_000_000


def entries(data: dict[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    """Return the list ``data[key]`` of a parsed annotation file, for example ``data["images"]``.

    Raises:
        DataError: the key is missing, the value is not a list, or an element of the list is not a JSON object.
    """
    if key not in data:
        found = f"only the keys {first_few(sorted(data), limit=8)}{foreign_format(data)}" if data else "no keys"
        raise DataError(f'{path}: expected the key "{key}", which LVIS and COCO files contain, found {found}')
    value = data[key]
    if not isinstance(value, list):
        raise DataError(f'{path}: "{key}": expected a list, found {json_type(value)}')
    if not set(map(type, value)) <= {dict}:
        bad = [index for index, entry in enumerate(value) if not isinstance(entry, dict)]
        found = json_type(value[bad[0]])
        raise DataError(f'{path}: "{key}": expected JSON objects, found {found} at the positions {first_few(bad)}')
    return value


def check_category_texts(categories: list[dict[str, Any]], path: str) -> None:
    """Check that the names and all other values of categories can be printed and can be saved in files.

    Raises:
        DataError: "name" or "supercategory" is not a string, an integer has more than 64 bits, or a string contains an
            unpaired surrogate ("\\ud800"), which UTF-8 cannot encode.
    """
    names = column(categories, "categories", "name", path)
    bad = [category["id"] for category, name in zip(categories, names, strict=True) if not isinstance(name, str)]
    if bad:
        found = json_type(next(name for name in names if not isinstance(name, str)))
        raise DataError(f'{path}: "name" in "categories": expected strings, found {found} (ids {first_few(bad)})')
    for category in categories:
        where = f'{path}: "categories", id {category["id"]}'
        if problem := plain_problem(category):
            raise DataError(f"{where}: {problem}")
        parent = category.get("supercategory")
        if parent is not None and not isinstance(parent, str):
            raise DataError(f'{where}: "supercategory": expected a string, found {json_type(parent)}')


def column(items: list[dict[str, Any]], key: str, field: str, path: str) -> list[Any]:
    """Return the values of one field, such as the "height" of all images, as a list.

    Args:
        items: the images, categories or annotations of the file, which are parsed JSON objects.
        key: name of the list ``items`` in the file, such as "images", for messages.
        field: name of the field, such as "height".
        path: path of the file, for messages.

    Raises:
        DataError: an object lacks the field. The message lists the ids or list positions of such objects.
    """
    values = [item.get(field, _MISSING) for item in items]
    if type(_MISSING) in set(map(type, values)):
        bad = [index for index, value in enumerate(values) if value is _MISSING]
        raise DataError(
            f'{path}: "{field}" in "{key}": expected this field in every entry, found {len(bad)} of {len(items)} '
            f"entries without this field ({_label(items, bad)}){foreign_format(items[bad[0]])}"
        )
    return values


def integer_column(items: list[dict[str, Any]], key: str, field: str, path: str) -> np.ndarray:
    """Return the values of an integer field, such as the "height" of all images, (len(items),) int64.

    ``items`` is the list ``key``, such as "images", of the file ``path``. ``field`` is the name of the field.

    Raises:
        DataError: an object lacks the field, or a value is not a signed 64-bit integer.
    """
    values = column(items, key, field, path)
    if set(map(type, values)) <= {int}:
        with contextlib.suppress(OverflowError):
            return np.array(values, dtype=np.int64)
    bad = [index for index, value in enumerate(values) if type(value) is not int]
    bad = bad or [index for index, value in enumerate(values) if not -(2**63) <= value < 2**63]
    found = first_few([reprlib.repr(values[index]) for index in bad])
    raise DataError(
        f'{path}: "{field}" in "{key}": expected signed 64-bit integers, found {found} ({_label(items, bad)})'
    )


def positive_column(items: list[dict[str, Any]], key: str, field: str, path: str) -> np.ndarray:
    """Return the values of a positive integer field, such as the "height" of all images, (len(items),) int64.

    Raises:
        DataError: an object lacks the field, or a value is not an integer from 1 to ``MAX_SIDE`` (a million).
    """
    values = integer_column(items, key, field, path)
    bad = (values < 1) | (values > MAX_SIDE)
    if bad.any():
        found, where = first_few(values[bad]), _label(items, np.flatnonzero(bad))
        raise DataError(
            f'{path}: "{field}" in "{key}": expected integers from 1 to {MAX_SIDE}, found {found} ({where})'
        )
    return values


def id_column(items: list[dict[str, Any]], key: str, path: str) -> np.ndarray:
    """Return the "id" of all objects, (len(items),) int64. Raise DataError for missing, invalid or repeated ids."""
    ids = integer_column(items, key, "id", path)
    check_unique(ids, key, path)
    return ids


def check_unique(ids: np.ndarray, key: str, path: str) -> None:
    """Raise DataError if an id occurs twice in the list ``key``, such as "images", of the file ``path``."""
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        twice = first_few(values[counts > 1])
        raise DataError(f'{path}: "{key}": expected unique ids, found repeated ids: {twice}')


def check_references(ids: np.ndarray, field: str, targets: np.ndarray, key: str, path: str, owners) -> None:
    """Raise DataError if an annotation refers to an image or category that does not exist.

    Args:
        ids: (M,) the image id or the category id of each of the M annotations.
        field: field with these ids, "image_id" or "category_id".
        targets: ids of all images or of all categories in the file.
        key: "images" or "categories", for messages.
        path: path of the file, for messages.
        owners: (M,) ids of the annotations, for messages.
    """
    unknown = ~np.isin(ids, targets)
    if unknown.any():
        values, annotations = first_few(np.unique(ids[unknown])), first_few(owners[unknown])
        raise DataError(
            f'{path}: "{field}" in "annotations": expected ids that occur in "{key}", found other ids: {values} '
            f"(annotation ids {annotations})"
        )


def check_id_lists(images: list[dict[str, Any]], field: str, category_ids: np.ndarray, path: str) -> None:
    """Check a field of images that contains a list of category ids, such as "neg_category_ids" in LVIS.

    Unknown ids cause only a warning, because users often remove categories without updating these lists.

    Args:
        images: the images of the file, which are parsed JSON objects. Some images may lack the field.
        field: name of the field, "neg_category_ids" or "not_exhaustive_category_ids".
        category_ids: ids of all categories in the file.
        path: path of the file, for messages.

    Raises:
        DataError: a value is not a list of signed 64-bit integers.
    """
    lists = [image.get(field, []) for image in images]
    bad = [image["id"] for image, ids in zip(images, lists, strict=True) if type(ids) is not list]
    if not bad and not set(map(type, itertools.chain.from_iterable(lists))) <= {int}:
        bad = [image["id"] for image, ids in zip(images, lists, strict=True) if not set(map(type, ids)) <= {int}]
    if bad:
        raise DataError(
            f'{path}: "{field}": expected lists of integers, found '
            f"{next(reprlib.repr(image[field]) for image in images if image['id'] == bad[0])} (image ids "
            f"{first_few(bad)})"
        )
    unknown = set(itertools.chain.from_iterable(lists)) - set(category_ids.tolist())
    if not all(-(2**63) <= value < 2**63 for value in unknown):
        large = {value for value in unknown if not -(2**63) <= value < 2**63}
        bad = [image["id"] for image, ids in zip(images, lists, strict=True) if not large.isdisjoint(ids)]
        raise DataError(
            f'{path}: "{field}": expected signed 64-bit integers, found '
            f"{first_few(map(reprlib.repr, sorted(large)))} (image ids {first_few(bad)})"
        )
    if unknown:
        found = first_few(map(reprlib.repr, sorted(unknown)))
        warn_once(logger, f'{path}: "{field}" contains ids that are not in "categories": {found}. They are ignored')


def check_areas(items: list[dict[str, Any]], path: str) -> None:
    """Raise DataError if an annotation's "area" is infinite or not a number. Missing, null and NaN are allowed."""
    values = [0 if item.get("area") is None else item["area"] for item in items]
    if set(map(type, values)) <= NUMBERS:
        bad = np.flatnonzero(np.isinf(float_array(values)))
    else:
        bad = [index for index, value in enumerate(values) if type(value) not in NUMBERS]
    if len(bad):
        found = first_few([reprlib.repr(values[index]) for index in bad])
        raise DataError(
            f'{path}: "area" in "annotations": expected finite numbers, found {found} ({_label(items, bad)})'
        )


def count_nan_areas(data: dict[str, Any]) -> int:
    """Return the number of annotations whose ``area`` is NaN. JSON has no NaN, but Python's json module writes NaN."""
    items = data.get("annotations")
    areas = [item.get("area") for item in items if type(item) is dict] if type(items) is list else []
    return sum(type(area) is float and area != area for area in areas)


def check_flags(items: list[dict[str, Any]], key: str, field: str, path: str) -> None:
    """Raise DataError if a field, such as "iscrowd", has a value other than 0, 1, false and true. It may be missing."""
    values = [item.get(field, 0) for item in items]
    if set(map(type, values)) <= {int, bool} and set(values) <= {0, 1}:
        return
    bad = [index for index, value in enumerate(values) if type(value) not in (int, bool) or value not in (0, 1)]
    found = first_few([reprlib.repr(values[index]) for index in bad])
    raise DataError(f'{path}: "{field}" in "{key}": expected 0 or 1, found {found} ({_label(items, bad)})')


def float_array(numbers: list) -> np.ndarray:
    """Convert numbers, or lists of equal length, to float64. Integers beyond the range of float64 become infinity."""
    try:
        return np.array(numbers, dtype=np.float64)
    except OverflowError:
        array = np.array(numbers, dtype=object)
        return np.array([_float(value) for value in array.flat], dtype=np.float64).reshape(array.shape)


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def _label(items: list[dict[str, Any]], indices) -> str:
    """Name the objects at ``indices`` in a message: by their ids ("ids 3, 7") or, without ids, by these indices."""
    ids = [items[index].get("id") for index in indices]
    if all(type(value) is int for value in ids):
        return f"ids {first_few(ids)}"
    return f"positions {first_few(indices)} in the list"
