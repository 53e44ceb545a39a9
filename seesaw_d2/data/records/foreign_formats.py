"""Recognize files of annotation tools that do not have the COCO or LVIS format."""

from typing import Any

# Name of each format, and the keys of an object of this format.
_OBJECTS = (
    ("VGG Image Annotator (VIA)", {"_via_img_metadata"}),
    ("VGG Image Annotator (VIA)", {"regions", "filename"}),
    ("LabelMe", {"shapes", "imagePath"}),
    ("Label Studio's JSON", {"annotations", "data"}),
    ("Label Studio's JSON-MIN", {"annotation_id", "annotator"}),
    ("CreateML", {"image", "annotations"}),
    ("Supervisely", {"objects", "size"}),
    ("FiftyOne's data sets", {"samples"}),
    ("COCO results", {"image_id", "score"}),
)


def foreign_format(content: Any) -> str:
    """Return a text about the format of a file that is not in COCO format, or "" if the format is unknown.

    Args:
        content: the parsed JSON file. In a list or dict of objects, the function examines the first object.
    """
    values = list(content.values()) if isinstance(content, dict) else content if isinstance(content, list) else []
    for item in (content, *values[:1]):
        keys = set(item) if isinstance(item, dict) else set()
        found = next((name for name, needed in _OBJECTS if needed <= keys), "")
        if found:
            return f". The file has the format of {found}. Export the annotations in the COCO format."
    return ""
