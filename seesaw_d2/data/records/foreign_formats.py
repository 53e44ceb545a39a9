"""Recognize annotation files in formats other than COCO and LVIS, for error messages."""

from typing import Any

# Annotation formats that training cannot read. ``foreign_format`` recognizes a format if a JSON object has all keys in
# the set.
_OBJECTS = (
    ("VGG Image Annotator (VIA)", {"_via_img_metadata"}),
    ("VGG Image Annotator (VIA)", {"regions", "filename"}),
    ("LabelMe", {"shapes", "imagePath"}),
    ("Label Studio's JSON", {"annotations", "data"}),
    ("Label Studio's JSON-MIN", {"annotation_id", "annotator"}),
    ("CreateML", {"image", "annotations"}),
    ("Supervisely", {"objects", "size"}),
    ("FiftyOne's datasets", {"samples"}),
    ("FiftyOne's labels", {"classes", "labels"}),
    ("COCO panoptic segmentation", {"segments_info"}),
    ("COCO results", {"image_id", "score"}),
)


def foreign_format(content: Any) -> str:
    """Return a sentence for error messages that names the format of a file, or "" if the format is unknown.

    Args:
        content: a parsed JSON file that has neither the COCO nor the LVIS format. Some formats are recognized by the
            first value in a list or dict instead.
    """
    values = list(content.values()) if isinstance(content, dict) else content if isinstance(content, list) else []
    for item in (content, *values[:1]):
        keys = set(item) if isinstance(item, dict) else set()
        found = next((name for name, needed in _OBJECTS if needed <= keys), "")
        if found:
            return f". The file has the format of {found}. Export the annotations in the COCO format."
    return ""
