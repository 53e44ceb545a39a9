"""Convert annotation files in LVIS or COCO format to ground truth, for evaluation with hotcoco or lvis-api.

Both libraries then give the same results.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from seesaw_d2.data.boxes_and_masks.areas import (
    box_polygon,
    computed_area,
    evaluated_segmentation,
    has_unusable_polygons,
    is_odd_area,
)
from seesaw_d2.errors import DataError
from seesaw_d2.evaluation.ground_truth import NO_MASK, GroundTruth
from seesaw_d2.frequency_groups import GROUP_LETTERS
from seesaw_d2.utils.messages import first_few, warn_once

if TYPE_CHECKING:
    from seesaw_d2.data.records.annotation_files import AnnotationFile

logger = logging.getLogger(__name__)


def lvis_ground_truth(file: AnnotationFile, frequency: dict[int, str] | None) -> GroundTruth:
    """Convert an annotation file to ground truth, an lvis-api object.

    In COCO format, all objects are annotated, so a category without annotations in an image is absent from the image.
    In LVIS format, the annotations of an image can be incomplete. If the image has ``neg_category_ids``, only these
    categories are known to be absent. If the image has ``not_exhaustive_category_ids``, some objects of these
    categories lack annotations.

    Evaluation ignores crowds: a missed crowd is not a false negative, and a detection of a crowd is not a false
    positive. A warning lists the annotations that this function corrects or that evaluation ignores.

    Args:
        file: the annotation file, with or without annotations.
        frequency: dict from category id to frequency group ("r", "c" or "f"). If None, use ``frequency`` of the
            categories in the file.

    Raises:
        DataError: a category has no frequency group, or another value than "r", "c" or "f".
    """
    everything = frozenset(file.category_ids)
    images = []
    for image in file.images:
        # Use sets, in which lvis-api finds a category faster than in lists. All images share one set of all category
        # ids, because a separate set for each image of LVIS would need gigabytes.
        negative = image.get("neg_category_ids") if file.format == "lvis" else None
        partial = image.get("not_exhaustive_category_ids", ()) if file.format == "lvis" else ()
        negative = everything if negative is None else frozenset(negative)
        images.append({**image, "neg_category_ids": negative, "not_exhaustive_category_ids": frozenset(partial)})
    if frequency is None:
        frequency = {category["id"]: category.get("frequency") for category in file.categories}
    categories = [{**category, "frequency": frequency.get(category["id"])} for category in file.categories]
    if wrong := [category for category in categories if category["frequency"] not in GROUP_LETTERS]:
        ids, found = first_few([category["id"] for category in wrong]), wrong[0]["frequency"]
        raise DataError(f"{file.path}: category ids {ids}: expected the frequency group r, c or f, found {found!r}")
    if file.format == "lvis":
        _warn_of_lists(file)
    data = {"images": images, "categories": categories, "annotations": _annotations(file)}
    return GroundTruth.from_data(data, coco=file.format == "coco")


def ground_truth_with_groups(file: AnnotationFile, frequency: dict[int, str] | None) -> GroundTruth:
    """Convert an annotation file to ground truth, also if the frequency groups of the categories are unknown.

    Args:
        file: the annotation file, with or without annotations.
        frequency: dict from category id to frequency group ("r", "c" or "f"). If None, the groups are unknown. Then the
            attribute ``groups_known`` of the result is False, and evaluation returns NaN for APr, APc and APf.

    Raises:
        DataError: ``frequency`` lacks a category, or has another value than "r", "c" or "f".
    """
    result = lvis_ground_truth(file, dict.fromkeys(file.category_ids, "f") if frequency is None else frequency)
    result.groups_known = frequency is not None
    return result


def file_frequency(file: AnnotationFile) -> dict[int, str] | None:
    """Return the frequency groups that an annotation file contains, a dict from category id to "r", "c" or "f".

    Return None if a category lacks the field ``frequency`` or if the field has another value.
    """
    letters = {category["id"]: category.get("frequency") for category in file.categories}
    return letters if all(isinstance(v, str) and v in GROUP_LETTERS for v in letters.values()) else None


# Warnings about annotations that evaluation corrects, omits or ignores. The keys are the return values of
# ``_correct_mask``, ``_correct_ignore`` and ``_correct_area``.
_WARNINGS = {
    "area_computed": 'their "area" is missing or not positive. Evaluation computes the area from the mask or the box',
    "left_out": 'their "area" is not positive. Evaluation omits these objects, as lvis-api does',
    "odd_area": 'their "area" does not fit the box. APs, APm and APl use it unchanged. Check that it is in pixels',
    "without_mask": "their polygons have fewer than 3 points. Mask evaluation ignores detections in their boxes",
    "ignore_unread": 'their "ignore" has no effect in COCO\'s format. Evaluation counts them, as pycocotools does',
    "lvis_crowds": 'their "iscrowd" is 1. Evaluation ignores these objects, unlike lvis-api',
}


def _warn_of_lists(file: AnnotationFile) -> None:
    """Log a warning about wrong lists ``neg_category_ids``, which name the categories that are absent from an image.

    The lists are wrong if they are empty in all images, or if an image has an annotation of a category in its list.
    """
    name = '"neg_category_ids"'
    if not any(image.get("neg_category_ids", True) for image in file.images):
        text = "Evaluation ignores all detections of a category in images without an object of the category"
        warn_once(logger, f"{file.path}: {name} is empty in all {len(file.images)} images. {text}")
    negative = {image["id"]: image.get("neg_category_ids", ()) for image in file.images}
    items = file.ground_truth or ()
    wrong = [item["id"] for item in items if item["category_id"] in negative[item["image_id"]]]
    if wrong:
        text = f"{name} of their image contains their category. Check that the lists contain category ids of this file"
        warn_once(logger, f"{file.path}: annotation ids {first_few(wrong)}: {text}")


def _annotations(file: AnnotationFile) -> list[dict[str, Any]]:
    """Return copies of the annotations with corrected mask, ``ignore`` and area.

    Log one warning for each kind of correction, with the ids of the corrected annotations.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in file.images}
    coco = file.format == "coco"
    ids: dict[str, list[int]] = {reason: [] for reason in _WARNINGS}
    annotations = []
    for found in file.ground_truth or ():
        annotation = dict(found)  # copy the annotation, because this function and lvis-api modify it
        size = sizes[annotation["image_id"]]
        for reason in (
            _correct_mask(annotation, size),
            _correct_ignore(annotation, coco),
            _correct_area(annotation, size, coco),
        ):
            if reason:
                ids[reason].append(annotation["id"])
        annotations.append(annotation)
    for reason, found in ids.items():
        if found:
            warn_once(logger, f"{file.path}: annotation ids {first_few(found)}: {_WARNINGS[reason]}")
    if annotations and all(annotation.get("ignore") for annotation in annotations):
        text = f"each AP is NaN, because all {len(annotations)} objects are crowds or ignored"
        warn_once(logger, f"{file.path}: {text}")
    # lvis-api marks a detection that matches no object by the object id 0. Therefore no object may have the id 0.
    if any(annotation["id"] <= 0 for annotation in annotations):
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number
    return annotations


def _correct_mask(annotation: dict[str, Any], size: tuple[int, int]) -> str | None:
    """Correct the mask of an annotation in place, if the mask has unusable polygons.

    If no polygon remains, the box becomes the mask, and the field ``NO_MASK`` is set to 1, so that mask evaluation
    ignores the object. A crowd without a mask also gets its box as the mask.

    Args:
        annotation: the annotation.
        size: height and width of the image.

    Returns:
        the key of a warning in ``_WARNINGS``, or None if no warning is necessary.
    """
    segmentation = annotation.get("segmentation")
    reason = None
    if has_unusable_polygons(segmentation):
        segmentation = annotation["segmentation"] = evaluated_segmentation(segmentation, size)
        if segmentation is None:
            annotation[NO_MASK] = 1
            reason = "without_mask"
    if not segmentation and (annotation.get("iscrowd", 0) or annotation.get(NO_MASK)):
        annotation["segmentation"] = box_polygon(annotation["bbox"])
    return reason


def _correct_ignore(annotation: dict[str, Any], coco: bool) -> str | None:
    """Set the field ``ignore`` of a crowd to 1. In COCO format, set ``ignore`` of other objects to 0.

    pycocotools also ignores crowds, and counts all other objects.

    Args:
        annotation: the annotation, which is modified in place.
        coco: True for COCO format, False for LVIS format.

    Returns:
        the key of a warning in ``_WARNINGS``, or None if no warning is necessary.
    """
    crowd, ignore = bool(annotation.get("iscrowd", 0)), annotation.get("ignore", 0)
    if coco:
        annotation["ignore"] = int(crowd)
        return "ignore_unread" if ignore and not crowd else None
    if crowd:
        annotation["ignore"] = 1
    return "lvis_crowds" if crowd else None


def _correct_area(annotation: dict[str, Any], size: tuple[int, int], coco: bool) -> str | None:
    """Compute the area of an annotation if the area is missing or, in COCO format, not positive.

    Args:
        annotation: the annotation, which is modified in place.
        size: height and width of the image.
        coco: True for COCO format, False for LVIS format.

    Returns:
        the key of a warning in ``_WARNINGS``, or None if no warning is necessary. A warning is also necessary if the
        area does not fit the box.
    """
    area = annotation.get("area")
    if area is None or (coco and not area > 0):
        annotation["area"] = computed_area(annotation, size)
        return "area_computed"
    if not area > 0:  # also true if the area is NaN
        return "left_out"
    return "odd_area" if is_odd_area(area, annotation["bbox"]) else None
