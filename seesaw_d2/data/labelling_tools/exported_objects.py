"""Check the categories and objects of an export for mistakes that impair training, and correct some mistakes."""

from collections import Counter
from typing import Any

import numpy as np

from seesaw_d2.data.boxes_and_masks.areas import computed_area, is_odd_area
from seesaw_d2.data.boxes_and_masks.mask_extents import run_length_extents
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few

# Minimum area of a polygon in square pixels. Smaller computed areas are rounding errors.
_NOTHING = 1e-6
# Largest rounding error of boxes that are fractions of the image size.
_ROUNDING = 0.01


def checked_categories(files: list[dict[str, Any]], sources: list[str], notes: list[str]) -> list[dict[str, Any]]:
    """Check the categories of an export, and omit the supercategories without objects that Roboflow adds.

    Args:
        files: content of the exported annotation file, optionally followed by the content of the annotation file of the
            validation images. The second file may contain fewer categories.
        sources: paths of the annotation files.
        notes: list to which the function appends notes.

    Returns:
        the entries of the remaining categories.

    Raises:
        DataError: the first annotation file lacks a category of the second file, or two categories have the same name.
    """
    categories = files[0]["categories"]
    names = [[f"{item.get('id')} {item.get('name')}" for item in data["categories"]] for data in files]
    unknown = [name for name in names[-1] if name not in names[0]]
    if unknown:
        raise DataError(
            f"{sources[-1]}: expected only categories that {sources[0]} also contains, found categories with an "
            f"unknown id or name: {first_few(unknown)}. The categories of {sources[0]} are {first_few(names[0])}."
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
    """Return True if a category is the supercategory of another category, and not of itself."""
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
    """Return a copy of ``part`` in which missing areas are computed, because evaluation needs the areas.

    An area is missing if "area" is absent, null or not positive. A note lists implausible areas.

    Args:
        part: checked content of an annotation file.
        source: path of the file, for notes.
        notes: list to which the function appends notes.
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
    """Append a note that lists the images without objects, because these images may be unlabelled.

    Args:
        part: content of an annotation file.
        source: path of the file, for the note.
        consequence: sentence at the end of the note about the consequence of images without objects.
        notes: list to which the function appends the note.
    """
    held = {item["image_id"] for item in part["annotations"]}
    empty = [image["file_name"] for image in part["images"] if image["id"] not in held]
    if empty:
        notes.append(
            f"{source}: {len(empty)} of {len(part['images'])} images have no object: {first_few(empty)}. {consequence}"
        )


def look_at_crowds(part: dict[str, Any], source: str, notes: list[str]) -> None:
    """If the annotations contain crowds, append a note that training and evaluation ignore crowds."""
    crowds = [item["id"] for item in part["annotations"] if item.get("iscrowd")]
    if crowds:
        notes.append(
            f"{source}: {len(crowds)} of {len(part['annotations'])} objects are crowds (annotation ids "
            f"{first_few(crowds)}). Training and evaluation ignore crowds"
        )


def is_empty(segmentation: Any) -> bool:
    """Return True if a valid mask has no pixels, or only polygons of collinear points. A missing mask returns False."""
    if not segmentation:
        return False
    if isinstance(segmentation, dict):
        start, end = np.split(run_length_extents([segmentation])[0], 2)
        return not (start < end).all()
    return not any(_area(np.reshape(polygon, (-1, 2))) > _NOTHING for polygon in segmentation)


def _area(points: np.ndarray) -> float:
    """Return the area of a polygon with P points, (P, 2)."""
    x, y = (points - points[0]).T  # move the polygon to the origin to reduce rounding errors
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


def look_at_boxes(part: dict[str, Any], source: str, notes: list[str]) -> None:
    """Append a note about boxes that exceed the image. Their numbers may not be x, y, width, height in pixels.

    Args:
        part: checked content of an annotation file.
        source: path of the file, for messages.
        notes: list to which the function appends the note.

    Raises:
        DataError: most boxes contain only numbers up to 1 (plus a rounding error), so they are probably fractions of
            the image size.
    """
    objects = part["annotations"]
    if not objects:
        return
    sizes = {image["id"]: (image["width"], image["height"]) for image in part["images"]}
    boxes = np.array([item["bbox"] for item in objects], np.float64)
    small = (boxes <= 1 + _ROUNDING).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    fractions = [objects[index] for index in np.flatnonzero(small)]
    if fractions:
        text = (
            f"{len(fractions)} of {len(objects)} boxes with only numbers up to 1 (annotation ids "
            f"{first_few(item['id'] for item in fractions)}), such as {fractions[0]['bbox']}. If the numbers are "
            "fractions of the image size, export the boxes in pixels"
        )
        if 2 * len(fractions) > len(objects):
            raise DataError(f'{source}: "bbox": expected x, y, width, height in pixels, found {text}.')
        notes.append(f"{source}: found {text}")
    ends = np.array([sizes[item["image_id"]] for item in objects])
    beyond = (boxes[:, :2] < -1).any(axis=1) | (boxes[:, :2] + boxes[:, 2:] > ends + 1).any(axis=1)
    if beyond.any():
        ids = first_few(objects[index]["id"] for index in np.flatnonzero(beyond))
        notes.append(
            f"{source}: {beyond.sum()} of {len(objects)} boxes exceed the image (annotation ids {ids}). These boxes "
            "may not be x, y, width, height in pixels"
        )


def look_at_rotations(part: dict[str, Any], source: str, notes: list[str]) -> None:
    """Append a note about rotated boxes without masks. CVAT exports such a box before its rotation.

    CVAT stores the angle in degrees in the field "rotation" of "attributes".

    Args:
        part: checked content of an annotation file.
        source: path of the file, for the note.
        notes: list to which the function appends the note.
    """
    objects = part["annotations"]
    rotated = [item["id"] for item in objects if not item.get("segmentation") and _is_rotated(item.get("attributes"))]
    if rotated:
        notes.append(
            f'{source}: {len(rotated)} of {len(objects)} boxes have a "rotation" in "attributes", but no mask '
            f"(annotation ids {first_few(rotated)}). The export contains the boxes before their rotation, which do "
            "not fit the objects"
        )


def _is_rotated(attributes: Any) -> bool:
    angle = attributes.get("rotation") if isinstance(attributes, dict) else None
    return type(angle) in (int, float) and 0.5 < angle % 180 < 179.5


def without_copies(part: dict[str, Any], source: str, notes: list[str]) -> dict[str, Any]:
    """Return ``part`` without copies of annotations, and append a note about the copies.

    A copy has the same image, category, box, mask and "iscrowd" as an earlier annotation. The number 5 equals 5.0, and
    a missing "iscrowd" equals 0. If two annotations differ only in the mask, this function keeps both annotations and
    appends a note.

    Args:
        part: content of an annotation file.
        source: path of the file, for notes.
        notes: list to which the function appends notes.
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
            same_box.append(f"{boxes[box]} = {item.get('id')}")
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
    """Convert a JSON value to a hashable value. Round numbers to 0.001, because some tools store 32-bit floats.

    Args:
        value: the value.
        depth: number of nested levels to compare. Lists and dicts at deeper levels are invalid, and always differ.
    """
    if isinstance(value, (list, dict)):
        if not depth:
            return id(value)
        items = sorted(value.items()) if isinstance(value, dict) else enumerate(value)
        return (type(value), *((key, _comparable(each, depth - 1)) for key, each in items))
    return round(value, 3) if isinstance(value, (int, float)) else value
