"""Merge the categories of several annotation files, for ``pool_folds.py``."""

import logging
import statistics

logger = logging.getLogger("seesaw_d2")
COUNTS = ("image_count", "instance_count")  # keys of a category with its numbers of training images and objects


def check_counts(file) -> None:
    """Raise DataError if "image_count" or "instance_count" of a category in an annotation file is not a number >= 0."""
    from seesaw_d2.errors import DataError
    from seesaw_d2.utils.messages import shown

    for category in file.categories:
        for key in COUNTS:
            count = category.get(key, 0)
            if type(count) not in (int, float) or not 0 <= count < float("inf"):
                raise DataError(
                    f'{file.path}: category {category["name"]!r}: "{key}": expected a number >= 0, found '
                    f"{shown(count)}. If the count is unknown, remove {key!r} from all categories."
                )


def group_of(images: float) -> str:
    """Return the frequency group of LVIS, "r", "c" or "f", of a category with this number of training images."""
    from seesaw_d2.frequency_groups import GROUP_LETTERS

    return GROUP_LETTERS[(images > 10) + (images > 100)]


def check_groups(files, index: int) -> None:
    """Log a warning for each file in which the "frequency" of a category contradicts its number of training images.

    In LVIS, categories in at most 10 training images are rare, and categories in at most 100 are common.

    Args:
        files: annotation files with the same categories.
        index: index of the category.
    """
    from seesaw_d2.utils.messages import shown

    for file in files:
        category = file.categories[index]
        found, expected = category.get("frequency"), group_of(category["image_count"])
        if found != expected:
            logger.warning(
                f'{file.path}: category {category["name"]!r}: "frequency": {category["image_count"]} training images '
                f"are group {expected!r} in LVIS, found {shown(found)}. For categories whose groups differ between the "
                "folds, the pooled file contains LVIS's group."
            )


def pooled_categories(files) -> list[dict]:
    """Return the categories of the first file, with the mean numbers of training images and objects over all files.

    If the frequency group of a category differs between the files, the mean number of training images defines the
    group.

    Args:
        files: annotation files of the folds.

    Raises:
        DataError: the categories differ, a training count is not a number, or the frequency group of a category differs
            and a file does not contain its number of training images.
    """
    from seesaw_d2.errors import DataError

    for file in files:
        check_counts(file)
    first = files[0]
    for file in files[1:]:
        if (file.category_ids, file.category_names) != (first.category_ids, first.category_names):
            raise DataError(
                f"{file.path}: the ids, names or order of the categories differ from those in {first.path}. All folds "
                "must have the same categories."
            )
    pooled = []
    for same in zip(*(file.categories for file in files), strict=True):
        category = dict(same[0])
        for count in COUNTS:
            if all(count in each for each in same):
                category[count] = statistics.mean(each[count] for each in same)
            else:
                category.pop(count, None)
        if any(each.get("frequency") != category.get("frequency") for each in same):
            if "image_count" not in category:
                raise DataError(
                    f'{first.path}: category {category["name"]!r}: "frequency" differs between the folds, and a fold '
                    'lacks "image_count". The mean of "image_count" defines the frequency group.'
                )
            check_groups(files, len(pooled))
            category["frequency"] = group_of(category["image_count"])
        pooled.append(category)
    return pooled
