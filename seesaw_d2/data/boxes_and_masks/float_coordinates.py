"""Convert integer coordinates of boxes and polygons to floats.

Detectron2 scales coordinates in place. An array of integers would truncate them after the image is resized.
"""

from typing import Any


def floats(numbers: list[float]) -> list[float]:
    """Return a list of numbers as floats. If it contains no integers, return the list itself."""
    return list(map(float, numbers)) if int in map(type, numbers) else numbers


def with_float_coordinates(record: dict[str, Any]) -> dict[str, Any]:
    """Return a dataset dict with float coordinates, for datasets that this package has not read.

    Only boxes and polygons that are lists are converted. The argument is not modified.
    """
    if "annotations" not in record:
        return record
    return {**record, "annotations": [_converted(each) for each in record["annotations"]]}


def _converted(annotation: dict[str, Any]) -> dict[str, Any]:
    result = dict(annotation)
    if isinstance(result.get("bbox"), (list, tuple)):
        result["bbox"] = floats(result["bbox"])
    polygons = result.get("segmentation")
    if isinstance(polygons, list):
        result["segmentation"] = [floats(each) if isinstance(each, list) else each for each in polygons]
    return result
