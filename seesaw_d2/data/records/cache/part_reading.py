"""Check some of the annotations of a large file, and encode them as arrays and JSON.

``_simple_part`` is fast, but supports only valid annotations with polygons or without masks. Other annotations are
checked by ``AnnotationChecker``, which also reports errors and warnings. It takes twice as long, because it needs a
dict for each annotation.
"""

import itertools
from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import orjson
from msgspec import UNSET, UnsetType

from seesaw_d2.data.boxes_and_masks.box_and_mask_checks import FAR, Polygons, have_area_inside
from seesaw_d2.data.boxes_and_masks.box_mask_agreement import Findings, find_disagreement
from seesaw_d2.data.boxes_and_masks.mask_extents import polygon_extents
from seesaw_d2.data.records.annotation_checks import entries
from seesaw_d2.data.records.cache.encoding import Part
from seesaw_d2.data.records.cache.parallel_parsing import UnusualFileError
from seesaw_d2.data.records.records import NO_MASK, POLYGONS, ObjectColumns, objects_of, to_object

if TYPE_CHECKING:
    from seesaw_d2.data.records.annotation_files import AnnotationChecker


class _Annotation(msgspec.Struct, gc=False):
    """Annotation whose values have exactly the declared types. For other types, msgspec raises an error.

    For example, true and 1.0 are not accepted as int. A missing field has the value ``UNSET``. ``_simple_part`` later
    checks that the image ids and category ids exist in the file.
    """

    category_id: int
    bbox: tuple[float, float, float, float]
    id: int | UnsetType = UNSET
    image_id: int | UnsetType = UNSET
    segmentation: list[list[float]] | UnsetType | None = UNSET
    area: float | UnsetType = UNSET
    iscrowd: int | UnsetType = UNSET
    ignore: Any = UNSET


_decode = msgspec.json.Decoder(list[_Annotation]).decode
_encode_lines = msgspec.json.Encoder().encode_lines


def read_part(checker: "AnnotationChecker", text: bytes) -> tuple[Part, Findings]:
    """Check and encode some of the annotations of a file.

    Args:
        checker: checker for the annotations of the file.
        text: unparsed JSON list of the annotations.

    Returns:
        the encoded objects, and the problems that cause warnings.

    Raises:
        DataError: an annotation is invalid.
        UnusualFileError: the text is not JSON.
    """
    if (simple := _simple_part(text, checker)) is not None:
        return simple
    try:
        part = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UnusualFileError from error
    checked = checker.check(entries({"annotations": part}, "annotations", checker.path))
    kept = itertools.compress(checked.annotations, checked.has_area)
    return encode(kept, checker.image_ids, checker.category_ids), checked.findings


def encode(annotations: Iterable[dict[str, Any]], image_ids: np.ndarray, category_ids: np.ndarray) -> Part:
    """Encode checked annotations as arrays and as lines of JSON.

    Args:
        annotations: annotations of the file, which are parsed JSON objects.
        image_ids: sorted ids of all images in the file.
        category_ids: sorted ids of all categories in the file.
    """
    kept = list(annotations)
    objects = [to_object(item, item["category_id"]) for item in kept]
    columns = objects_of([{"annotations": objects}])
    columns = columns._replace(
        image=np.searchsorted(image_ids, np.array([item["image_id"] for item in kept], np.int64)),
        category=np.searchsorted(category_ids, columns.category),
    )
    return Part(columns, _encode_lines(objects))


def _simple_part(text: bytes, checker: "AnnotationChecker") -> tuple[Part, Findings] | None:
    """Check and encode some of the annotations of a file, if all of them are valid and have polygons or no mask.

    Args:
        text: unparsed JSON list of the annotations.
        checker: checker for the annotations of the file.

    Returns:
        the encoded objects and the problems that cause warnings, or None if an annotation is invalid or unsupported.
    """
    try:
        found = _decode(text)
        ids, image_id, category_id = (
            np.fromiter(map(attrgetter(field), found), np.int64, len(found))
            for field in ("id", "image_id", "category_id")
        )
    except (msgspec.MsgspecError, OverflowError, RecursionError, TypeError, UnicodeDecodeError):
        return None
    known = np.isin(image_id, checker.image_ids).all() and np.isin(category_id, checker.category_ids).all()
    crowds = [each.iscrowd for each in found]
    ignored = [each.ignore for each in found]
    plain = set(map(type, ignored)) <= {UnsetType, int, bool} and set(ignored) <= {UNSET, 0, 1}
    if not known or not plain or not set(crowds) <= {UNSET, 0, 1}:
        return None
    image = np.searchsorted(checker.image_ids, image_id)
    sizes, boxes = checker.sizes[image], np.array([each.bbox for each in found], np.float64).reshape(-1, 4)
    polygons = Polygons.of([each.segmentation for each in found])
    lengths = np.diff(polygons.ends, prepend=0)
    if (lengths < 6).any() or (lengths % 2).any() or len(polygons.far(sizes)):
        return None
    if not (have_area_inside(boxes, sizes).all() and (np.abs(boxes) <= FAR * sizes.max(axis=1, keepdims=True)).all()):
        return None
    columns = ObjectColumns(
        image=image,
        category=np.searchsorted(checker.category_ids, category_id),
        crowd=np.array([value == 1 for value in crowds], bool),
        mask=np.full(len(found), NO_MASK, np.int8),
    )
    columns.mask[polygons.owners] = POLYGONS
    extents = polygon_extents(*polygons, len(found))
    extents[columns.crowd] = np.nan
    texts = None if len(polygons.owners) else _short(found)
    return Part(columns, texts), Findings(ids, [], [], [], 0, find_disagreement(ids, boxes, extents, sizes))


def _short(annotations: list[_Annotation]) -> bytes:
    """Encode annotations without masks as lines of JSON.

    To save disk space, omit the fields that dataset dicts do not need: id, image_id, area and ignore.
    """
    for each in annotations:  # msgspec does not write fields with the value UNSET
        each.id = each.image_id = each.area = each.ignore = UNSET
    return _encode_lines(annotations)
