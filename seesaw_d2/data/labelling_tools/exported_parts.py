"""Check the content of an exported annotation file, and split its images into training and validation images.

An object is usable for training and evaluation if it is not a crowd, its box has an area inside the image, and its mask
(if any) has an area.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from seesaw_d2.data.boxes_and_masks.box_and_mask_checks import have_area_inside
from seesaw_d2.data.labelling_tools.exported_boxes import look_at_boxes, look_at_rotations
from seesaw_d2.data.labelling_tools.exported_objects import (
    is_empty,
    look_at_crowds,
    look_at_keypoints,
    with_areas,
    without_copies,
)
from seesaw_d2.data.records.annotation_files import check_annotations
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import collected_warnings, first_few

# Error messages call objects of the training part "for training", and objects of the validation part "for evaluation".
PURPOSES = ("for training", "for evaluation")


@dataclass(frozen=True, eq=False)
class Part:
    """Images and annotations for training, or for validation, or (before the split) for both.

    Attributes:
        data: content of an annotation file in COCO format.
        usable: ids of the annotations that training and evaluation can use. A usable object is not a crowd, its box has
            an area inside the image, and its mask (if any) has an area.
    """

    data: dict[str, Any]
    usable: frozenset[int]

    def usable_objects(self) -> Iterator[dict[str, Any]]:
        return (item for item in self.data["annotations"] if item["id"] in self.usable)

    def images_by_category(self) -> dict[Any, set]:
        """Return for each category id the ids of the images that contain a usable object of this category.

        A usable object is not a crowd, and its box and its mask (if any) have an area.
        """
        found = defaultdict(set)
        for item in self.usable_objects():
            found[item["category_id"]].add(item["image_id"])
        return found


def checked_part(data: dict[str, Any], source: str, notes: list[str]) -> Part:
    """Check the content of an annotation file, and find the objects that training and evaluation can use.

    The checks are those at the start of a training, and further checks for usual mistakes in exports.

    Args:
        data: content of the annotation file in COCO format. The function does not change it.
        source: path of the file, for messages.
        notes: list to which the function appends messages for the user, such as warnings about boxes.

    Returns:
        the content of the file without repeated annotations and with computed "area" where it was missing, and the ids
        of the usable objects.

    Raises:
        DataError: the content is not a valid dataset in COCO format.
    """
    data = without_copies(data, source, notes)
    with collected_warnings() as warnings:
        # check_annotations removes invalid polygons from its argument. Pass a deep copy, because the annotation files
        # that are written later keep these polygons.
        file = check_annotations(json.loads(json.dumps(data)), source, "coco")
    notes.extend(warnings)
    look_at_boxes(data, source, notes)
    look_at_rotations(data, source, notes)
    look_at_crowds(data, source, notes)
    look_at_keypoints(data, source, notes)
    data = with_areas(data, source, notes)
    objects = zip(file.annotations or (), file.has_area.tolist(), strict=True)
    trained = [item for item, has_area in objects if has_area and not item.get("iscrowd")]
    empty = {item["id"] for item in trained if is_empty(item.get("segmentation"))}
    if empty:
        notes.append(f"{source}: {len(empty)} objects have a mask without area: annotation ids {first_few(empty)}")
    return Part(data, frozenset(item["id"] for item in trained if item["id"] not in empty))


def check_any_usable(part: Part, source: str, purpose: str) -> None:
    """Raise DataError if no object can be used, for example because all objects are crowds.

    Args:
        part: training images or validation images with their annotations.
        source: path of the annotation file, for the message.
        purpose: "for training" or "for evaluation", for the message.
    """
    if not part.usable:
        raise DataError(
            f"{source}: expected at least one usable object {purpose}, found no usable object. {_reasons(part.data)}"
        )


def _reasons(data: dict[str, Any]) -> str:
    """Return the end of an error message that explains why training cannot use any object of a dataset.

    For example, the text begins with "Of 3 objects, 3 are crowds".

    Args:
        data: content of an annotation file in COCO format. None of its objects is usable.
    """
    objects = data["annotations"]
    if not objects:
        return 'The list "annotations" is empty'
    crowds = [item for item in objects if item.get("iscrowd")]
    others = [item for item in objects if not item.get("iscrowd")]
    flat = [item for item in others if item["bbox"][2] <= 0 or item["bbox"][3] <= 0]
    size = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    boxes, sizes = [item["bbox"] for item in others], [size[item["image_id"]] for item in others]
    inside = have_area_inside(np.reshape(boxes, (-1, 4)), np.reshape(sizes, (-1, 2)))
    outside = [item for item, is_inside in zip(others, inside, strict=True) if not is_inside and item not in flat]
    masks = [item for item, is_inside in zip(others, inside, strict=True) if is_inside]
    pointless = [
        item for item in masks if type(item["segmentation"]) is list and max(map(len, item["segmentation"])) < 6
    ]
    four = [item for item in pointless if all(len(polygon) == 4 for polygon in item["segmentation"])]
    pairs = [
        item
        for item in pointless
        if len(item["segmentation"]) >= 3 and all(len(point) == 2 for point in item["segmentation"])
    ]
    found = {
        'are crowds ("iscrowd" 1)': crowds,
        "have a box without width or height": flat,
        "have a box outside the image": outside,
        "have no polygon with at least 3 points": pointless,
        "have a mask without area": [item for item in masks if item not in pointless],
    }
    texts = [f"{len(items)} {what} (annotation ids {_ids(items)})" for what, items in found.items() if items]
    text = f"Of {len(objects)} objects, {', '.join(texts)}"
    if four:
        text += (
            f'. The "segmentation" of {len(four)} objects has 4 numbers, like a box. Remove "segmentation" to train '
            "only boxes"
        )
    if pairs:
        text += (
            f'. The "segmentation" of {len(pairs)} objects is a list of points [x, y] (annotation ids {_ids(pairs)}). '
            "Write each polygon as one list [x, y, x, y, ...]"
        )
    return text


def _ids(items: list[dict[str, Any]]) -> str:
    return first_few(item["id"] for item in items)


def split(part: Part, share: float, seed: int, related: list[list[Any]], source: str) -> tuple[Part, Part]:
    """Split all images randomly into training images and validation images.

    Validation images are chosen for each category in turn, starting with the rarest category. Each category keeps at
    least one training image.

    Args:
        part: all images and annotations of the export.
        share: fraction of the images for validation, in (0, 1).
        seed: seed of the random choice.
        related: groups of image ids. The images of a group show the same photo, and are not separated by the split.
        source: path of the annotation file, for messages.

    Returns:
        the training part and the validation part.

    Raises:
        DataError: no image with a usable object can be chosen for validation.
    """
    images = part.data["images"]
    chosen = _chosen(part, share, seed, related)
    if len(images) == 1:
        raise DataError(
            f"{source}: expected at least two images to split into training and validation images, found one image. "
            "Set --val to an annotation file of validation images."
        )
    train, val = (_taken(part, chosen, inside=inside) for inside in (False, True))
    if not val.usable:
        raise DataError(
            f"{source}: cannot choose validation images among {len(images)} images. Each image with objects is the "
            "only image of a category, or shows the same photo as such an image or as most of the other images. Set "
            "--val to an annotation file of validation images."
        )
    return train, val


def _chosen(part: Part, share: float, seed: int, related: list[list[Any]]) -> set:
    """Choose the validation images: first for each category, starting with the rarest one, and then among all images.

    A category with several images gets at least one validation image, if possible. An image is not chosen if a category
    would have no training image left.

    Args:
        part: all images and annotations of the export.
        share: fraction of the images for validation, in (0, 1).
        seed: seed of the random choice.
        related: groups of image ids. Either all images of a group are chosen, or none.

    Returns:
        the ids of the validation images.
    """
    ids = [image["id"] for image in part.data["images"]]
    random.Random(seed).shuffle(ids)
    groups = part.images_by_category()
    left = {category: len(images) for category, images in groups.items()}
    held: dict[Any, list] = defaultdict(list)
    for category, images in groups.items():
        for image in images:
            held[image].append(category)
    together = {image: same for same in related for image in same}
    chosen: set = set()
    for group in [*sorted(groups.values(), key=len), set(ids)]:
        wanted = round(share * len(group)) or int(len(group) > 1)
        for image in (image for image in ids if image in group and image not in chosen):
            if len(chosen & group) >= wanted:
                break
            same = together.get(image, [image])
            lost = Counter(category for each in same for category in held[each])
            too_many = len(group.intersection(same)) > len(group) / 2
            if not too_many and all(left[category] > count for category, count in lost.items()):
                chosen.update(same)
                for category, count in lost.items():
                    left[category] -= count
    return chosen


def _taken(part: Part, chosen: set, *, inside: bool) -> Part:
    data = part.data
    images = [image for image in data["images"] if (image["id"] in chosen) is inside]
    objects = [item for item in data["annotations"] if (item["image_id"] in chosen) is inside]
    usable = part.usable.intersection(item["id"] for item in objects)
    return Part({**data, "images": images, "annotations": objects}, usable)
