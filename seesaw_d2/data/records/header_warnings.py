"""Warn about images and categories of an annotation file that are valid, but probably mistakes."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from seesaw_d2.data.classification.labels import similar_names
from seesaw_d2.frequency_groups import GROUP_LETTERS
from seesaw_d2.utils.messages import first_few, shown, warn_once

logger = logging.getLogger(__name__)


def warn_of_header(names: Sequence[str], categories: Sequence[dict[str, Any]], path: str) -> None:
    """Log a warning if several images have the same file, or if a category has an unusual name or frequency.

    A name is unusual if it differs from another category's name only in case, spaces or Unicode form. A frequency is
    unusual if it is not "r" (rare), "c" (common) or "f" (frequent).

    Args:
        names: file name of each image.
        categories: the categories of the file, which are JSON objects whose names are strings.
        path: path of the annotation file, for messages.
    """
    _warn_of_repetitions(names, categories, path)
    _warn_of_frequency(categories, path)


def _warn_of_repetitions(names: Sequence[str], categories: Sequence[dict[str, Any]], path: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1] if len(set(names)) < len(names) else []
    if repeated:
        warn_once(
            logger,
            f'{path}: "images": {len(repeated)} files belong to several images: {first_few(repeated)}. Class '
            "counts, training and evaluation use all of these images. Remove repeated images",
        )
    similar = similar_names(category["name"] for category in categories)
    if similar:
        warn_once(
            logger,
            f"{path}: some category names differ only in case, spaces or Unicode form: {first_few(similar)}. If such "
            "names mean one category, merge the categories.",
        )


def _warn_of_frequency(categories: Sequence[dict[str, Any]], path: str) -> None:
    given = [category for category in categories if category.get("frequency") is not None]
    wrong = [each for each in given if type(each["frequency"]) is not str or each["frequency"] not in GROUP_LETTERS]
    if not given or (not wrong and len(given) == len(categories)):
        return
    found = f"{len(categories) - len(given)} categories without this field"
    if wrong:
        values = first_few(sorted({shown(category["frequency"]) for category in wrong}))
        found = f"{values} (category ids {first_few(category['id'] for category in wrong)})"
    warn_once(
        logger,
        f'{path}: "frequency" in "categories": expected "r", "c" or "f" in every category, found {found}. The field is '
        "ignored, and this file does not define frequency groups",
    )
