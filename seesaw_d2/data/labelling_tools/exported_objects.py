"""Check the categories and objects that a labelling tool exported, and correct some mistakes that impair training."""

from collections import Counter
from typing import Any

import numpy as np

from seesaw_d2.data.boxes_and_masks.areas import computed_area, is_odd_area
from seesaw_d2.data.boxes_and_masks.mask_extents import run_length_extents
from seesaw_d2.data.classification.labels import plain
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few

# Polygons with an area of at most this number of square pixels count as empty. Their points are collinear up to
# rounding errors.
_NOTHING = 1e-6


def checked_categories(files: list[dict[str, Any]], sources: list[str], notes: list[str]) -> list[dict[str, Any]]:
    """Check the categories of exported annotation files, and omit unused supercategories.

    Roboflow lists each supercategory as a further category, which has no objects.

    Args:
        files: content of the exported annotation file in COCO format, optionally followed by the content of the
            annotation file of the validation images. The second file may contain fewer categories.
        sources: paths of the annotation files, for messages.
        notes: list to which the function appends a message for the user about omitted categories.

    Returns:
        the remaining elements of the list "categories" in the first file.

    Raises:
        DataError: the first annotation file lacks a category of the second file, or two categories have the same name.
    """
    categories = files[0]["categories"]
    names = [[f"{item.get('id')} {item.get('name')}" for item in data["categories"]] for data in files]
    unknown = [name for name in names[-1] if name not in names[0]]
    if unknown:
        near = [f"{name} ({other})" for name in unknown for other in names[0] if plain(name) == plain(other)]
        hint = f" Names that differ only in case, spaces or Unicode form: {first_few(near)}." if near else ""
        raise DataError(
            f"{sources[-1]}: expected only categories that {sources[0]} also contains, found categories with an "
            f"unknown id or name: {first_few(unknown)}. The categories of {sources[0]} are {first_few(names[0])}.{hint}"
        )
    used = {item.get("category_id") for data in files for item in data["annotations"]}
    roots = [item for item in categories if item.get("id") not in used and _is_root(item, categories)]
    if roots:
        named = first_few(f"{item.get('id')} {item.get('name')}" for item in roots)
        notes.append(f"omitted supercategories without objects: {named}")
    kept = [item for item in categories if item not in roots]
    _check_names([str(item.get("name")) for item in kept], sources[0])
    return kept


def _is_root(category: dict[str, Any], categories: list[dict[str, Any]]) -> bool:
    """Return True if a category is the supercategory of other categories, but not of itself.

    Args:
        category: element of the list "categories" in COCO format.
        categories: the complete list.
    """
    name = category.get("name")
    others = (item for item in categories if item is not category)
    return category.get("supercategory") != name and any(item.get("supercategory") == name for item in others)


def _check_names(names: list[str], source: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f'{source}: "name" in "categories": expected unique names, found repeated names: {first_few(twice)}'
        )


def with_areas(part: dict[str, Any], source: str, notes: list[str]) -> dict[str, Any]:
    """Compute the missing areas of objects, because evaluation needs the areas for APs, APm and APl.

    An area is missing if "area" is absent, null or not positive.

    Args:
        part: valid content of an annotation file in COCO format.
        source: path of the file, for messages.
        notes: list to which the function appends messages for the user about missing and implausible areas.

    Returns:
        a copy of ``part``, in which every annotation has a positive "area" if its mask or box has an area.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in part["images"]}
    objects = part["annotations"]
    without = [item for item in objects if item.get("area") is None or not item["area"] > 0]
    odd = [item for item in objects if (item.get("area") or 0) > 0 and is_odd_area(item["area"], item["bbox"])]
    for items, text, effect in (
        (without, 'have no positive "area"', "The areas were computed from the masks and boxes"),
        (odd, 'have an "area" that does not fit the box', "APs, APm and APl are wrong if the areas are not in pixels"),
    ):
        if items:
            ids = first_few(item["id"] for item in items)
            notes.append(f"{source}: {len(items)} of {len(objects)} objects {text} (annotation ids {ids}). {effect}")
    areas = {item["id"]: computed_area(item, sizes[item["image_id"]]) for item in without}
    return {**part, "annotations": [{**item, "area": areas.get(item["id"], item.get("area"))} for item in objects]}


def look_at_empty_images(part: dict[str, Any], source: str, consequence: str, notes: list[str]) -> None:
    """Report images without objects, because someone may have forgotten to label these images.

    Args:
        part: content of an annotation file in COCO format.
        source: path of the file, for the message.
        consequence: sentence at the end of the message, such as "Training ignores these images".
        notes: list to which the function appends one message for the user, if there are such images.
    """
    held = {item["image_id"] for item in part["annotations"]}
    empty = [image["file_name"] for image in part["images"] if image["id"] not in held]
    if empty:
        notes.append(
            f"{source}: {len(empty)} of {len(part['images'])} images have no object: {first_few(empty)}. {consequence}"
        )


def look_at_crowds(part: dict[str, Any], source: str, notes: list[str]) -> None:
    """Report objects that are crowds ("iscrowd" 1), because training and evaluation ignore crowds.

    Args:
        part: content of an annotation file in COCO format.
        source: path of the file, for the message.
        notes: list to which the function appends one message for the user, if there are crowds.
    """
    crowds = [item["id"] for item in part["annotations"] if item.get("iscrowd")]
    if crowds:
        notes.append(
            f"{source}: {len(crowds)} of {len(part['annotations'])} objects are crowds (annotation ids "
            f"{first_few(crowds)}). Training and evaluation ignore crowds"
        )


def look_at_keypoints(part: dict[str, Any], source: str, notes: list[str]) -> None:
    """Report objects with keypoints, because DATASETS.REGISTER reads no keypoints.

    Args:
        part: content of an annotation file in COCO format.
        source: path of the file, for the message.
        notes: list to which the function appends one message for the user, if there are keypoints.
    """
    objects = [item["id"] for item in part["annotations"] if item.get("keypoints")]
    if objects:
        notes.append(
            f"{source}: {len(objects)} of {len(part['annotations'])} objects have keypoints, which are not used "
            f"(annotation ids {first_few(objects)})"
        )


def is_empty(segmentation: Any) -> bool:
    """Return True if a mask covers no area: a run-length mask without pixels, or only polygons with collinear points.

    Args:
        segmentation: valid segmentation in COCO format. Objects without a mask (None or empty) return False.
    """
    if not segmentation:
        return False
    if isinstance(segmentation, dict):
        start, end = np.split(run_length_extents([segmentation])[0], 2)
        return not (start < end).all()
    return not any(_area(np.reshape(polygon, (-1, 2))) > _NOTHING for polygon in segmentation)


def _area(points: np.ndarray) -> float:
    """Return the area of a polygon. ``points`` contains the x and y of its P corners, shape (P, 2)."""
    # Move the first point to the origin. Large coordinates would cause rounding errors in the area.
    x, y = (points - points[0]).T
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


def without_copies(part: dict[str, Any], source: str, notes: list[str]) -> dict[str, Any]:
    """Remove annotations that repeat an earlier annotation.

    A repeated annotation has the same image, category, box, mask and "iscrowd". The number 5 equals 5.0, and a missing
    "iscrowd" equals 0. If two annotations differ only in the mask, this function keeps and reports both annotations.

    Args:
        part: content of an annotation file in COCO format. The function does not change it.
        source: path of the file, for messages.
        notes: list to which the function appends messages for the user.

    Returns:
        a copy of ``part`` without the repeated annotations.
    """
    kept, copies, seen, boxes = [], [], set(), {}
    same_box = []
    for item in part["annotations"]:
        box = (
            *(_comparable(item.get(field)) for field in ("image_id", "category_id", "bbox")),
            bool(item.get("iscrowd")),
        )
        key = (*box, _comparable(item.get("segmentation") or None))
        if key in seen:
            copies.append(item)
            continue
        if box in boxes:
            same_box.append(f"{boxes[box]} and {item.get('id')}")
        boxes.setdefault(box, item.get("id"))
        seen.add(key)
        kept.append(item)
    if copies:
        ids = first_few(item.get("id") for item in copies)
        notes.append(f"{source}: omitted {len(copies)} objects that are copies of other objects: annotation ids {ids}")
    if same_box:
        notes.append(
            f"{source}: {len(same_box)} objects have the category and box of another object, but another mask: "
            f"annotation ids {first_few(same_box)}. These objects may be annotated twice"
        )
    return {**part, "annotations": kept}


def _comparable(value: Any, depth: int = 3) -> Any:
    """Convert a JSON value to a hashable value, so that equal annotations can be found in a dict.

    Numbers are rounded to 0.001, because some labelling tools store 32-bit floats.

    Args:
        value: the JSON value.
        depth: number of nested levels to convert. Lists and dicts at deeper levels are invalid in COCO format, and
            count as different from all other values.
    """
    if isinstance(value, (list, dict)):
        if not depth:
            return id(value)
        items = sorted(value.items()) if isinstance(value, dict) else enumerate(value)
        return (type(value), *((key, _comparable(each, depth - 1)) for key, each in items))
    return round(value, 3) if isinstance(value, (int, float)) else value
