"""Warn about images and categories of an annotation file that are probably repeated by mistake."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from seesaw_d2.data.classification.labels import similar_names
from seesaw_d2.utils.messages import first_few, warn_once

logger = logging.getLogger(__name__)


def warn_of_repetitions(names: Sequence[str], categories: Sequence[dict[str, Any]], path: str) -> None:
    """Log a warning if several images have the same file, or if names of categories are almost equal.

    Names are almost equal if they differ only in case, spaces or Unicode form.

    Args:
        names: file name of each image.
        categories: checked categories.
        path: path of the annotation file, for messages.
    """
    repeated = [name for name, count in Counter(names).items() if count > 1] if len(set(names)) < len(names) else []
    if repeated:
        warn_once(
            logger,
            f'{path}: "images": {len(repeated)} files belong to several images: {first_few(repeated)}. Class counts, '
            "training and evaluation count each of these images",
        )
    similar = similar_names(category["name"] for category in categories)
    if similar:
        warn_once(
            logger,
            f"{path}: some category names differ only in case, spaces or Unicode form: {first_few(similar)}",
        )
