"""Reading, checking and atomic writing of results files."""

import csv
import dataclasses
import io
import itertools
import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from lvis import LVIS

from seesaw_d2.errors import DataError
from seesaw_d2.evaluation.detections import Detections, mask_areas
from seesaw_d2.utils.atomic_files import atomic_file, write_text
from seesaw_d2.utils.escaping import cell
from seesaw_d2.utils.messages import first_few, json_type, one_line
from seesaw_d2.utils.regular_files import irregular, open_regular

logger = logging.getLogger(__name__)

SUBMISSION_FILE = "lvis_submission.json"
# Number of detections per write, which limits the memory.
CHUNK = 100_000


def write_json(path: str, value: Any) -> None:
    """Write a JSON file atomically. NaN becomes null."""
    with atomic_file(path) as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))


def write_csv(path: str, rows: list[dict[str, Any]], header: Sequence[str] | None = None) -> None:
    """Write a CSV file atomically. NaN becomes an empty cell.

    Args:
        header: names of the columns. Default: the keys of the first row.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, header or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: "" if value != value else cell(value) for key, value in row.items()} for row in rows])
    write_text(path, text.getvalue())


def write_results(path: str, detections: Detections) -> None:
    """Write LVIS's results file atomically and in chunks."""
    with atomic_file(path) as file:
        for start in range(0, len(detections), CHUNK):
            part = detections[np.arange(start, min(start + CHUNK, len(detections)))]
            file.write(b"," if start else b"[")
            file.write(part.to_json()[1:-1])
        file.write(b"]" if len(detections) else b"[]")


def write_submission(folder: str | None, name: str, detections: Detections) -> None:
    """Write lvis_submission.json, the input of LVIS's evaluation server, for a data set without annotations.

    If there are masks, boxes are omitted, because lvis-api would compute the size of a detection (for APs, APm and APl)
    from its box.

    Args:
        folder: output folder. None: write no file.
        name: name of the data set, for the log.
    """
    if not folder:
        logger.info("%s has no annotations and no output folder is given: nothing is evaluated or written", name)
        return
    path = os.path.join(folder, SUBMISSION_FILE)
    masks = detections.has_masks
    write_results(path, dataclasses.replace(detections, boxes=None) if masks else detections)
    logger.info(
        "%s has no annotations: nothing is evaluated. Submit %s, which contains %d detections (%s), to LVIS's "
        "evaluation server",
        *(name, path, len(detections), "masks" if masks else "boxes"),
    )


def read_results(path: str, ground_truth: LVIS) -> Detections:
    """Read and check a results file in LVIS's (and COCO's) format.

    Args:
        path: a JSON list of detections with image_id, category_id, score, and bbox (XYWH) or segmentation (RLE).
        ground_truth: ground truth with the images and categories of the detections.

    Raises:
        DataError: the file is missing or not such a list; a detection lacks a field, has a score or box that is not
            finite, a malformed mask, or an image or category that the ground truth does not have.
    """
    if irregular(path):
        raise DataError(f"{path}: expected a results file, found {irregular(path)}")
    try:
        with open_regular(path, "rb") as file:
            results = orjson.loads(file.read())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; expected a results file") from None
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not JSON: {error}; expected a results file (JSON has no NaN and Infinity)") from None
    if not isinstance(results, list):
        raise DataError(f"{path}: the top level is {json_type(results)}; expected a list of detections")
    return detections_from_results(results, ground_truth, path)


def detections_from_results(results: list[dict[str, Any]], ground_truth: LVIS, source: str) -> Detections:
    """Check detections in LVIS's results format and convert them to arrays; see ``read_results``."""
    if not results:
        return Detections.empty(masks=True)
    if any(type(item) is not dict for item in results):
        bad = [index for index, item in enumerate(results) if type(item) is not dict]
        raise DataError(f"{source}: expected JSON objects, found other values: detections {first_few(bad)}")
    fields = [field for field in ("bbox", "segmentation") if field in results[0]]
    if not fields:
        raise DataError(f'{source}: expected "bbox" or "segmentation" in each detection, found neither in detection 0')
    columns = {field: _column(results, field, source) for field in ("image_id", "category_id", "score", *fields)}
    image_ids = _ids(columns["image_id"], "image_id", ground_truth.imgs, source)
    category_ids = _ids(columns["category_id"], "category_id", ground_truth.cats, source)
    scores = _numbers(columns["score"], "score", source)
    boxes = _numbers(columns["bbox"], "bbox", source, width=4) if "bbox" in fields else None
    sizes, counts = (None, None)
    if "segmentation" in fields:
        sizes, counts = _masks(columns["segmentation"], image_ids, ground_truth, source)
    return Detections(image_ids, category_ids, scores, boxes, sizes, counts)


def _column(results: list[dict[str, Any]], field: str, source: str) -> list[Any]:
    try:
        return [item[field] for item in results]
    except KeyError:
        bad = [index for index, item in enumerate(results) if field not in item]
        raise DataError(f'{source}: no "{field}": detections {first_few(bad)}') from None


def _ids(values: list[Any], field: str, known: dict[int, Any], source: str) -> np.ndarray:
    if not set(map(type, values)) <= {int}:
        bad = [index for index, value in enumerate(values) if type(value) is not int]
        raise DataError(f'{source}: "{field}": expected an integer, found other values in detections {first_few(bad)}')
    unknown = sorted(set(values) - known.keys())
    if unknown:
        raise DataError(
            f'{source}: "{field}": expected one of the {len(known)} ids of the data set, {min(known)} to {max(known)}, '
            f"found {first_few(unknown)}; check that the results belong to this data set and its version"
        )
    return np.array(values, dtype=np.int64)


def _numbers(values: list[Any], field: str, source: str, width: int | None = None) -> np.ndarray:
    expected = "a number" if width is None else f"{width} numbers"
    try:
        array = np.array(values, dtype=np.float64)  # also accepts numbers given as text
        types = set(map(type, values if width is None else itertools.chain.from_iterable(values)))
        wrong = not types <= {int, float}
        wrong |= array.ndim != (1 if width is None else 2) or (width is not None and array.shape[1] != width)
    except (TypeError, ValueError):
        wrong = True
    if wrong or not np.isfinite(array).all():
        bad = [index for index, value in enumerate(values) if not _is_finite(value, width)]
        raise DataError(
            f'{source}: "{field}": expected {expected}, finite, found other values in detections {first_few(bad)}'
        )
    return array


def _is_finite(value: Any, width: int | None) -> bool:
    parts = [value] if width is None else value
    if not isinstance(parts, list) or (width is not None and len(parts) != width):
        return False
    return all(type(part) in (int, float) and math.isfinite(part) for part in parts)


def _masks(masks: list[Any], image_ids: np.ndarray, ground_truth: LVIS, source: str) -> tuple[np.ndarray, list[bytes]]:
    shape = {key: [image["height"], image["width"]] for key, image in ground_truth.imgs.items()}
    counts = []
    for index, (mask, image) in enumerate(zip(masks, image_ids.tolist(), strict=True)):
        if type(mask) is not dict or type(mask.get("counts")) is not str or not mask["counts"]:
            raise DataError(
                f'{source}: "segmentation": expected a compressed run-length mask, found another value in detection '
                f"{index}"
            )
        if mask.get("size") != shape[image]:
            raise DataError(
                f'{source}: "segmentation" of detection {index}: expected the size {shape[image]} of image {image}, '
                f"found {one_line(mask.get('size'))}"
            )
        counts.append(mask["counts"].encode())
    sizes = np.array([mask["size"] for mask in masks], dtype=np.int32).reshape(-1, 2)
    mask_areas(masks, source)
    return sizes, counts
