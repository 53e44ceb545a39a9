"""Checks of the structure of an annotation file: fields, types, ids and references.

All checks run over whole columns. Only if a column is invalid, its invalid entries are searched.
"""

import itertools
import logging
import reprlib
from typing import Any

import numpy as np

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few, json_type, warn_once
from seesaw_d2.utils.plain_values import plain_problem

logger = logging.getLogger(__name__)

NUMBERS = {int, float}
_MISSING = object()
# Maximum side length in pixels: larger than any image, and small enough that no computation overflows.
MAX_SIDE = 1_000_000


def entries(data: dict[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    """Return ``data[key]``, a list of objects.

    Raises:
        DataError: the value is missing or not a list, or an entry is not an object.
    """
    if key not in data:
        found = first_few(sorted(data), limit=8) or "none"
        raise DataError(f'{path}: expected "{key}", as in LVIS and COCO files, found only: {found}')
    value = data[key]
    if not isinstance(value, list):
        raise DataError(f'{path}: "{key}": expected a list, found {json_type(value)}')
    if not set(map(type, value)) <= {dict}:
        bad = [index for index, entry in enumerate(value) if not isinstance(entry, dict)]
        raise DataError(f'{path}: expected JSON objects in "{key}", found other values at positions {first_few(bad)}')
    return value


def check_category_texts(categories: list[dict[str, Any]], path: str) -> None:
    """Check the values of categories that are displayed or written: names, supercategories and others.

    Raises:
        DataError: text has an unpaired surrogate ("\\ud800"), which cannot be encoded, a number has more than 64 bits,
            or "name" or "supercategory" is not a string.
    """
    names = column(categories, "categories", "name", path)
    bad = [category["id"] for category, name in zip(categories, names, strict=True) if not isinstance(name, str)]
    if bad:
        raise DataError(f'{path}: "name" in "categories" is not a string: ids {first_few(bad)}')
    for category in categories:
        where = f'{path}: "categories", id {category["id"]}'
        if problem := plain_problem(category):
            raise DataError(f"{where}: {problem}")
        parent = category.get("supercategory")
        if parent is not None and not isinstance(parent, str):
            raise DataError(f'{where}: "supercategory": expected a string, found {json_type(parent)}')


def column(items: list[dict[str, Any]], key: str, field: str, path: str) -> list[Any]:
    """Return the field's value in every entry of ``data[key]``.

    Raises:
        DataError: an entry lacks the field. The message names entries by id, or by position if they have none.
    """
    values = [item.get(field, _MISSING) for item in items]
    bad = [index for index, value in enumerate(values) if value is _MISSING]
    if bad:
        raise DataError(f'{path}: no "{field}" in "{key}": {_label(items, bad)}')
    return values


def integer_column(items: list[dict[str, Any]], key: str, field: str, path: str) -> np.ndarray:
    """Return the field's value in every entry, (len(items),) int64.

    Raises:
        DataError: an entry lacks the field, or its value is not an integer of 64 bits.
    """
    values = column(items, key, field, path)
    bad = []
    if not set(map(type, values)) <= {int}:
        bad = [index for index, value in enumerate(values) if type(value) is not int]
    if not bad:
        bad = [index for index, value in enumerate(values) if not -(2**63) <= value < 2**63]
    if bad:
        found = first_few([reprlib.repr(values[index]) for index in bad])
        raise DataError(
            f'{path}: "{field}" in "{key}" is not an integer of 64 bits: {_label(items, bad)}; found {found}'
        )
    return np.array(values, dtype=np.int64)


def positive_column(items: list[dict[str, Any]], key: str, field: str, path: str) -> np.ndarray:
    """Like ``integer_column``, but also check that every value is in [1, ``MAX_SIDE``]."""
    values = integer_column(items, key, field, path)
    for bad, problem in ((values < 1, "not positive"), (values > MAX_SIDE, f"above {MAX_SIDE}")):
        if bad.any():
            found = first_few(values[bad])
            where = _label(items, np.flatnonzero(bad))
            raise DataError(f'{path}: "{field}" in "{key}" is {problem}: {where}; found {found}')
    return values


def id_column(items: list[dict[str, Any]], key: str, path: str) -> np.ndarray:
    """Return the ids of the entries, (len(items),) int64, after checking that they are unique."""
    ids = integer_column(items, key, "id", path)
    check_unique(ids, key, path)
    return ids


def check_unique(ids: np.ndarray, key: str, path: str) -> None:
    """Raise DataError unless the ids of ``data[key]`` are unique."""
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        twice = first_few(values[counts > 1])
        raise DataError(f'{path}: ids occur more than once in "{key}": {twice}; expected each id once')


def check_references(ids: np.ndarray, field: str, targets: np.ndarray, key: str, path: str, owners) -> None:
    """Check that every value of the annotations' ``field`` is the id of an entry of ``data[key]``.

    Args:
        ids: the values.
        targets: the ids in ``data[key]``.
        owners: ids of the annotations, for messages.
    """
    unknown = ~np.isin(ids, targets)
    if unknown.any():
        values, annotations = first_few(np.unique(ids[unknown])), first_few(owners[unknown])
        raise DataError(
            f'{path}: "{field}" of annotations is not the id of an entry of "{key}": {values} '
            f"(annotation ids {annotations})"
        )


def check_id_lists(images: list[dict[str, Any]], field: str, category_ids: np.ndarray, path: str) -> None:
    """Check that the field, LVIS's list of category ids, is a list of integers in every image that has it.

    Unknown ids only cause a warning, because they remain when a file is reduced to some of its categories.
    """
    lists = [image.get(field, []) for image in images]
    bad = [image["id"] for image, ids in zip(images, lists, strict=True) if type(ids) is not list]
    if not bad and not set(map(type, itertools.chain.from_iterable(lists))) <= {int}:
        bad = [image["id"] for image, ids in zip(images, lists, strict=True) if not set(map(type, ids)) <= {int}]
    if bad:
        raise DataError(f'{path}: "{field}" is not a list of category ids: image ids {first_few(bad)}')
    unknown = set(itertools.chain.from_iterable(lists)) - set(category_ids.tolist())
    if not all(-(2**63) <= value < 2**63 for value in unknown):
        large = {value for value in unknown if not -(2**63) <= value < 2**63}
        bad = [image["id"] for image, ids in zip(images, lists, strict=True) if not large.isdisjoint(ids)]
        raise DataError(f'{path}: "{field}" has numbers beyond 64 bits: image ids {first_few(bad)}')
    if unknown:
        found = first_few(map(reprlib.repr, sorted(unknown)))
        warn_once(logger, f'{path}: "{field}" names categories that are not in "categories": {found}')


def check_areas(items: list[dict[str, Any]], path: str) -> None:
    """Check that every ``area`` is a finite number. A missing one, null and NaN are allowed."""
    values = [0 if item.get("area") is None else item["area"] for item in items]
    if set(map(type, values)) <= NUMBERS:
        bad = np.flatnonzero(np.isinf(float_array(values)))
    else:
        bad = [index for index, value in enumerate(values) if type(value) not in NUMBERS]
    if len(bad):
        found = first_few([reprlib.repr(values[index]) for index in bad])
        raise DataError(f'{path}: "area" in "annotations" is not a finite number: {_label(items, bad)}; found {found}')


def count_nan_areas(data: dict[str, Any]) -> int:
    """Return the number of annotations whose ``area`` is NaN, which Python's json can write."""
    items = data.get("annotations")
    areas = [item.get("area") for item in items if type(item) is dict] if type(items) is list else []
    return sum(type(area) is float and area != area for area in areas)


def check_flags(items: list[dict[str, Any]], key: str, field: str, path: str) -> None:
    """Check that the field is 0, 1, false or true in every entry that has it."""
    values = [item.get(field, 0) for item in items]
    if set(map(type, values)) <= {int, bool} and set(values) <= {0, 1}:
        return
    bad = [index for index, value in enumerate(values) if type(value) not in (int, bool) or value not in (0, 1)]
    found = first_few([reprlib.repr(values[index]) for index in bad])
    raise DataError(f'{path}: "{field}" in "{key}" is neither 0 nor 1: {_label(items, bad)}; found {found}')


def float_array(numbers: list) -> np.ndarray:
    """Return numbers, or lists of numbers of equal length, as float64. Integers beyond its range become infinite."""
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
    """Return ``ids 3, 7`` if all of these entries have an id, else ``positions 0, 4``."""
    ids = [items[index].get("id") for index in indices]
    if all(type(value) is int for value in ids):
        return f"ids {first_few(ids)}"
    return f"positions {first_few(indices)}"
