"""Check the boxes that a labelling tool exported: fractions instead of pixels, and rotated boxes."""

from typing import Any

import numpy as np

from seesaw_d2.data.boxes_and_masks.box_readings import are_fractions
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few


def look_at_boxes(part: dict[str, Any], source: str, notes: list[str]) -> None:
    """Report boxes that exceed the image by more than one pixel.

    A usual reason is another box convention than COCO's x, y, width, height in pixels.

    Args:
        part: valid content of an annotation file in COCO format.
        source: path of the file, for messages.
        notes: list to which the function appends one message for the user, if there are such boxes.

    Raises:
        DataError: most boxes contain only numbers up to 1 (plus a rounding error), so they are probably fractions of
            the image size.
    """
    objects = part["annotations"]
    if not objects:
        return
    sizes = {image["id"]: (image["width"], image["height"]) for image in part["images"]}
    boxes = np.array([item["bbox"] for item in objects], np.float64)
    fractions = [objects[index] for index in np.flatnonzero(are_fractions(boxes))]
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
            "may have another order or unit than x, y, width, height in pixels"
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
