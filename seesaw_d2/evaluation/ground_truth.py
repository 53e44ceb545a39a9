"""The ground truth of a registered data set in LVIS's terms, in memory, whatever its format."""

import logging
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from lvis import LVIS

from seesaw_d2.data.records.annotation_files import AnnotationFile
from seesaw_d2.data.records.areas import (
    box_polygon,
    computed_area,
    evaluated_segmentation,
    has_unusable_polygons,
    is_odd_area,
)
from seesaw_d2.data.records.catalog import category_ids, class_names
from seesaw_d2.data.records.category_counts import LVIS_THRESHOLDS, frequency_groups
from seesaw_d2.data.records.statistics import training_statistics
from seesaw_d2.errors import SeesawError
from seesaw_d2.evaluation.ground_truth_notes import GroundTruthNotes
from seesaw_d2.frequency_groups import GROUP_LETTERS
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)

# An annotation with this field has a mask that cannot be read: the evaluation of masks ignores it.
NO_MASK = "mask_unknown"


class GroundTruth(LVIS):
    """lvis-api's object, of a file in either format.

    Attributes:
        coco: whether COCO's rules for crowds and for objects without an area hold in place of LVIS's.
    """

    coco = False


def lvis_ground_truth(file: AnnotationFile, frequency: dict[int, str] | None) -> GroundTruth:
    """Restate an annotation file as lvis-api's LVIS object.

    Where the file does not say otherwise, annotation is exhaustive, as in COCO: every category that an image
    has no object of is absent from it, and no category is annotated in part. Crowds are ignored: they are
    not to be found, and a detection that matches one is not false. What is put right or left out is logged.

    Args:
        file: what to restate; without annotations the result has none.
        frequency: category id -> "r", "c" or "f"; None keeps the file's own, which must be complete.
    """
    everything = frozenset(file.category_ids)
    images = []
    for image in file.images:
        # lvis-api asks only whether a category is in here or has an object, and asks often: a set, and the
        # same one for all images, as C ids for each image would take gigabytes at LVIS's size.
        negative = image.get("neg_category_ids") if file.format == "lvis" else None
        partial = image.get("not_exhaustive_category_ids", ()) if file.format == "lvis" else ()
        negative = everything if negative is None else frozenset(negative)
        images.append({**image, "neg_category_ids": negative, "not_exhaustive_category_ids": frozenset(partial)})
    letters = frequency or {category["id"]: category["frequency"] for category in file.categories}
    categories = [{**category, "frequency": letters[category["id"]]} for category in file.categories]
    data = {"images": images, "categories": categories, "annotations": _annotations(file)}
    return _lvis(data, coco=file.format == "coco")


def _lvis(dataset: dict[str, Any], *, coco: bool = False) -> GroundTruth:
    """An LVIS object of parsed data; its constructor takes files only."""
    result = GroundTruth.__new__(GroundTruth)
    result.coco = coco
    result.logger = logging.getLogger("lvis.lvis")
    result.dataset = dataset
    result._create_index()
    return result


def follows_coco(ground_truth: LVIS) -> bool:
    """Whether COCO's rules hold; see ``GroundTruth``."""
    return getattr(ground_truth, "coco", False)


def subset(ground_truth: LVIS, image_ids: Collection[int]) -> GroundTruth:
    """The same ground truth for some of its images."""
    keep = set(image_ids)
    data = ground_truth.dataset
    return _lvis(
        {
            "images": [image for image in data["images"] if image["id"] in keep],
            "categories": data["categories"],
            "annotations": [item for item in data["annotations"] if item["image_id"] in keep],
        },
        coco=follows_coco(ground_truth),
    )


def _annotations(file: AnnotationFile) -> list[dict[str, Any]]:
    sizes = {image["id"]: (image["height"], image["width"]) for image in file.images}
    notes = GroundTruthNotes(file)
    annotations = []
    for found in file.ground_truth or ():
        annotation = dict(found)  # lvis-api writes into it
        size = sizes[annotation["image_id"]]
        _restate_mask(annotation, size, notes)
        _restate_ignored(annotation, notes)
        _restate_area(annotation, size, notes)
        annotations.append(annotation)
    notes.say()
    # lvis-api marks a detection as unmatched by the id 0, so that an object with that id is never found.
    if any(annotation["id"] <= 0 for annotation in annotations):
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number
    return annotations


def _restate_mask(annotation: dict[str, Any], size: tuple[int, int], notes: GroundTruthNotes) -> None:
    """What cannot be read as a mask becomes the box: of a crowd, and of an object that mask evaluation ignores."""
    segmentation = annotation.get("segmentation")
    if has_unusable_polygons(segmentation):
        segmentation = annotation["segmentation"] = evaluated_segmentation(segmentation, size)
        if segmentation is None:
            annotation[NO_MASK] = 1
            notes.without_mask.append(annotation["id"])
    if not segmentation and (annotation.get("iscrowd", 0) or annotation.get(NO_MASK)):
        annotation["segmentation"] = box_polygon(annotation["bbox"])


def _restate_ignored(annotation: dict[str, Any], notes: GroundTruthNotes) -> None:
    """Crowds are ignored. COCO's evaluation ignores nothing else, and reads no ``ignore``."""
    crowd = bool(annotation.get("iscrowd", 0))
    if notes.coco:
        if annotation.get("ignore", 0) and not crowd:
            notes.ignore_unread.append(annotation["id"])
        annotation["ignore"] = int(crowd)
    elif crowd:
        notes.lvis_crowds.append(annotation["id"])
        annotation["ignore"] = 1


def _restate_area(annotation: dict[str, Any], size: tuple[int, int], notes: GroundTruthNotes) -> None:
    """In COCO's format an area that is none is computed; lvis-api leaves an object without a positive one out."""
    area = annotation.get("area")
    if area is None or (notes.coco and not area > 0):
        annotation["area"] = computed_area(annotation, size)
        notes.area_computed.append(annotation["id"])
    elif not area > 0:  # nan too
        notes.left_out.append(annotation["id"])
    elif is_odd_area(area, annotation["bbox"]):
        notes.odd_area.append(annotation["id"])


def without_masks(file: AnnotationFile) -> list[int]:
    """Ids of the annotations, crowds aside, without a segmentation: with any of them masks cannot be evaluated."""
    items = file.ground_truth or ()
    return [item["id"] for item in items if not item.get("segmentation") and not item.get("iscrowd", 0)]


def frequency_letters(cfg: CfgNode, dataset_name: str, file: AnnotationFile) -> dict[int, str] | None:
    """The group of each category for APr, APc and APf: category id -> "r", "c" or "f".

    The annotation file's own ``frequency`` is used when every category has it and the thresholds
    (DATASETS.FREQUENCY_THRESHOLDS) are LVIS's: it was counted in all of LVIS's training images. Else the
    groups follow from the images of DATASETS.TRAIN.

    Returns:
        None where the groups cannot be known, because DATASETS.TRAIN is empty, cannot be read or has other
        categories: APr, APc and APf are then nan.
    """
    thresholds = tuple(cfg.DATASETS.FREQUENCY_THRESHOLDS)
    own = file_frequency(file)
    if own is not None and thresholds == LVIS_THRESHOLDS:
        return own
    try:
        statistics = training_statistics(cfg)
    except SeesawError as error:
        logger.warning("APr, APc and APf of %s are nan: %s", dataset_name, error)
        return None
    if list(statistics.names) != list(class_names(dataset_name)):
        train = first_few(cfg.DATASETS.TRAIN)
        logger.warning("APr, APc and APf of %s are nan: %s has other categories", dataset_name, train)
        return None
    return letters_of_groups(frequency_groups(statistics.image_count, thresholds), category_ids(dataset_name, file))


def file_frequency(file: AnnotationFile) -> dict[int, str] | None:
    """The file's own ``frequency`` of its categories, None unless every one has it."""
    letters = {category["id"]: category.get("frequency") for category in file.categories}
    return letters if all(isinstance(v, str) and v in GROUP_LETTERS for v in letters.values()) else None


def letters_of_groups(groups: np.ndarray, ids: Sequence[int]) -> dict[int, str]:
    """Category id -> letter, from (C,) groups and the C ids in the same order."""
    return {category: GROUP_LETTERS[group] for category, group in zip(ids, groups.tolist(), strict=True)}
