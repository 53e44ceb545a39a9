"""Convert the dataset dicts of an annotation file to arrays that are stored on disk.

Some arrays, such as "texts" with the JSON of all images, contain the concatenated values of all images. Another array,
such as "text_end", contains the end index of each image's values. The values of an image start where the values of the
previous image end. The objects are sorted by image.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from seesaw_d2.data.records.formats import FORMATS, ID_LISTS
from seesaw_d2.data.records.records import ObjectColumns

if TYPE_CHECKING:
    from seesaw_d2.data.records.annotation_files import AnnotationFile

# Names and NumPy data types of the arrays in a compiled annotation file.
ARRAYS = {
    # One integer per image. "name_end", "text_end" and "object_end" contain the index at which the file name, the JSON
    # object and the objects of the image end.
    **dict.fromkeys(("image_id", "height", "width", "name_end", "text_end", "object_end"), "i8"),
    # One value per object, as in ``ObjectColumns``.
    "category": "i4",
    "crowd": "?",
    "mask": "i1",
    "names": "u1",  # bytes of all file names
    "texts": "u1",  # bytes of a JSON object for each image, with the annotations and the LVIS lists of category ids
}
Tables = dict[str, np.ndarray]
# File names may contain bytes that are not valid UTF-8. With this error handler, Python represents such bytes by
# surrogate characters in a str, and restores them when the str is encoded.
_ERRORS = "surrogateescape"


class Part(NamedTuple):
    """Encoded objects of some of an annotation file's annotations. Large files are read in such parts.

    Attributes:
        columns: image, category, crowd flag and type of mask of each object. Images and categories are represented by
            their indices in the sorted image ids and category ids of the file.
        texts: JSON of each object, as a list or as newline-separated bytes. If None, the caller must use the JSON of
            the annotations in the file instead.
    """

    columns: ObjectColumns
    texts: bytes | Sequence[Any] | None


def to_tables(file: "AnnotationFile", parts: Sequence[Part]) -> Tables:
    """Return the arrays that store an annotation file. ``ARRAYS`` lists the names and data types of the arrays.

    Args:
        file: the annotation file. The content of ``file.annotations`` is ignored, but if ``file.annotations`` is None,
            the dataset dicts have no key "annotations".
        parts: the objects of the file. ``texts`` must not be None in any part.
    """
    columns = ObjectColumns(*map(np.concatenate, zip(*(part.columns for part in parts), strict=True)))
    objects: list[Any] = []
    for part in parts:
        objects += part.texts.splitlines() if isinstance(part.texts, bytes) else part.texts
    order = np.argsort(columns.image, kind="stable")
    object_end = np.cumsum(np.bincount(columns.image, minlength=len(file.images)))
    lists = ID_LISTS if FORMATS[file.format].federated else ()
    names = [name.encode(errors=_ERRORS) for name in file.image_files]
    objects = [objects[index] for index in order.tolist()]
    texts, text_end, start = bytearray(), [], 0
    for image, end in zip(file.images, object_end.tolist(), strict=True):
        fields = {key: image[key] for key in lists if key in image}
        texts += orjson.dumps(fields if file.annotations is None else {**fields, "annotations": []})
        if end > start:
            texts[-2:] = b",".join(objects[start:end]) + b"]}"
        text_end.append(len(texts))
        start = end
    tables = {
        **{name: [image[name] for image in file.images] for name in ("height", "width")},
        **{name: getattr(columns, name)[order] for name in ("category", "crowd", "mask")},
        "image_id": [image["id"] for image in file.images],
        "name_end": np.cumsum([len(name) for name in names]),
        "text_end": text_end,
        "object_end": object_end,
        "names": np.frombuffer(b"".join(names), np.uint8),
        "texts": np.frombuffer(texts, np.uint8),
    }
    return {name: np.ascontiguousarray(tables[name], kind) for name, kind in ARRAYS.items()}


def to_name(characters) -> str:
    """Convert bytes of the array "names" to a file name."""
    return str(characters, "utf-8", _ERRORS)
