"""Encode the records of an annotation file as JSON texts, and as columns for functions that read all records.

Shapes: I is the number of images, and N is the number of objects that training can use. Objects are sorted by image. In
some arrays, the values of all images are concatenated. An array whose name ends with ``_end`` contains the end index of
each image's values in such an array. The values of an image start where the values of the previous image end.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from seesaw_d2.data.records.formats import ID_LISTS
from seesaw_d2.data.records.records import ObjectColumns

# Data type of each array. "names" contains the file name of each image. "texts" contains JSON with the other fields.
# "category", "crowd" and "mask" are columns of ``ObjectColumns``.
ARRAYS = {
    **dict.fromkeys(("image_id", "height", "width", "name_end", "text_end", "object_end"), "i8"),
    "category": "i4",
    "crowd": "?",
    "mask": "i1",
    "names": "u1",
    "texts": "u1",
}
Tables = dict[str, np.ndarray]
# File names can contain bytes that are not valid UTF-8. Python represents such bytes by surrogates.
_ERRORS = "surrogateescape"


class Part(NamedTuple):
    """Objects in a part of an annotation file.

    Attributes:
        columns: columns of the objects. "image" and "category" are indices into the sorted ids of the file.
        texts: JSON of each object. None: use the unparsed annotations of the file.
    """

    columns: ObjectColumns
    texts: Sequence[bytes] | None


def join_parts(records: list[dict[str, Any]], parts: list[Part]) -> Tables:
    """Return the arrays that store an annotation file, see ``ARRAYS``.

    Args:
        records: I dataset dicts without objects.
        parts: the objects of the file. Each part must contain texts.
    """
    columns = ObjectColumns(*map(np.concatenate, zip(*(part.columns for part in parts), strict=True)))
    objects = list(itertools.chain.from_iterable(part.texts for part in parts))
    order = np.argsort(columns.image, kind="stable")
    object_end = np.cumsum(np.bincount(columns.image, minlength=len(records)))
    names, name_end, texts, text_end, start = bytearray(), [], bytearray(), [], 0
    for record, end in zip(records, object_end.tolist(), strict=True):
        names += record["file_name"].encode(errors=_ERRORS)
        name_end.append(len(names))
        texts += orjson.dumps({key: record[key] for key in (*ID_LISTS, "annotations") if key in record})
        if end > start:
            texts[-2:] = b",".join([objects[index] for index in order[start:end].tolist()]) + b"]}"
        text_end.append(len(texts))
        start = end
    tables = {
        **{name: [record[name] for record in records] for name in ("image_id", "height", "width")},
        **{name: getattr(columns, name)[order] for name in ("category", "crowd", "mask")},
        "name_end": name_end,
        "text_end": text_end,
        "object_end": object_end,
        "names": np.frombuffer(names, np.uint8),
        "texts": np.frombuffer(texts, np.uint8),
    }
    return {name: np.ascontiguousarray(tables[name], kind) for name, kind in ARRAYS.items()}


def to_name(characters) -> str:
    """Decode a file name from its characters in the array "names"."""
    return str(characters, "utf-8", _ERRORS)
