"""Convert annotations to arrays in a fast way that supports only valid annotations with polygons or without masks.

``AnnotationChecker`` processes all other annotations, and reports errors and warnings. It takes twice as long, because
it creates a dict for each annotation.
"""

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from seesaw_d2.data.boxes_and_masks.box_mask_agreement import Disagreement, Findings, find_disagreement
from seesaw_d2.data.boxes_and_masks.checks import FAR
from seesaw_d2.data.boxes_and_masks.mask_extents import polygon_extents
from seesaw_d2.data.records.cache.arrays import ABSENT, Objects, Tables, object_tables


class _Annotation(msgspec.Struct, gc=False):
    """Annotation that msgspec parses only if all values have exactly these types. true and 1.0 are not integers."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    segmentation: list[list[float]] | None = None
    area: float = 0.0
    iscrowd: int | UnsetType = UNSET


_decode = msgspec.json.Decoder(list[_Annotation]).decode


def simple_tables(
    text: bytes, image_ids: np.ndarray, sizes: np.ndarray, category_ids: np.ndarray
) -> tuple[Tables, Findings] | None:
    """Convert annotations to arrays if this module supports all of the annotations.

    Args:
        text: unparsed JSON list of annotations.
        image_ids: (I,) sorted image ids.
        sizes: (I, 2) height and width of each image.
        category_ids: (K,) sorted category ids.

    Returns:
        the result of ``object_tables`` and the findings, or None if an annotation is invalid or unsupported.
    """
    try:
        found = _decode(text)
        ids, image_id, category_id = (
            np.array([getattr(each, field) for each in found], np.int64) for field in ("id", "image_id", "category_id")
        )
    except (msgspec.MsgspecError, OverflowError, RecursionError, UnicodeDecodeError):
        return None
    known = np.isin(image_id, image_ids).all() and np.isin(category_id, category_ids).all()
    if not known or len(np.unique(ids)) < len(ids) or not {each.iscrowd for each in found} <= {UNSET, 0, 1}:
        return None
    objects = Objects(
        image_id=image_id,
        category_id=category_id,
        bbox=np.array([each.bbox for each in found], np.float64).reshape(-1, 4),
        crowd=np.array([ABSENT if each.iscrowd is UNSET else each.iscrowd for each in found], np.int8),
        segmentations=[each.segmentation for each in found],
    )
    if not (objects.bbox[:, 2:] > 0).all():
        return None
    tables = object_tables(objects, image_ids, category_ids)
    if not _is_usable(tables, FAR * sizes.max(axis=1)):
        return None
    # Sort the ids by image with a stable sort, like ``object_tables``.
    ids = ids[np.argsort(np.searchsorted(image_ids, image_id), kind="stable")]
    return tables, Findings(ids, [], [], 0, _disagreement(tables, ids, sizes))


def _disagreement(tables: Tables, ids: np.ndarray, sizes: np.ndarray) -> Disagreement:
    owners = np.repeat(np.arange(len(ids)), np.diff(tables["part_end"], prepend=0))
    extents = polygon_extents(owners, tables["polygon_end"], tables["coordinates"], len(ids))
    extents[tables["crowd"] == 1] = np.nan
    return find_disagreement(ids, tables["bbox"], extents, sizes[tables["owner"]])


def _is_usable(tables: Tables, reach: np.ndarray) -> bool:
    """Return whether each polygon has at least three points, and no coordinate is too large.

    Args:
        tables: result of ``object_tables``.
        reach: (I,) maximum absolute value of coordinates in each image.
    """
    lengths = np.diff(tables["polygon_end"], prepend=0)
    if (lengths < 6).any() or (lengths % 2).any():
        return False
    reach = reach[tables["owner"]]
    if not (np.abs(tables["bbox"]) <= reach[:, None]).all():
        return False
    of_polygons = np.repeat(reach, np.diff(tables["part_end"], prepend=0))
    return bool((np.abs(tables["coordinates"]) <= np.repeat(of_polygons, lengths)).all())
