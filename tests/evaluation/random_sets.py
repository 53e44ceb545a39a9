"""Define Hypothesis strategies for annotation files and results."""

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

SIDE = 120
# Values near the 53 bits of float64, and near the limits of int64.
_STARTS = (1, 0, -3, 2**31 - 2, 2**53 - 1, 2**60, -(2**63), 2**63 - 40)
_SCORES = (0.1, 0.5, 0.5000001, 0.9)


def encoded(plane: np.ndarray) -> dict:
    mask = mask_utils.encode(np.asfortranarray(plane, dtype=np.uint8))
    return {"size": [SIDE, SIDE], "counts": mask["counts"].decode()}


def run_lengths(plane: np.ndarray) -> dict:
    flat = plane.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, flat.size]).tolist()
    return {"size": [SIDE, SIDE], "counts": [0, *runs] if flat[0] else runs}


def plane_of(box) -> np.ndarray:
    x, y, w, h = (int(value) for value in box)
    plane = np.zeros((SIDE, SIDE), np.uint8)
    plane[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = 1
    return plane


def ids(count: int) -> st.SearchStrategy[list[int]]:
    """Draw distinct 64-bit integers in any order. Some of them are equal as float64."""
    ranges = st.sampled_from(_STARTS).map(lambda start: list(range(start, start + count)))
    return ranges.flatmap(st.permutations)


@st.composite
def boxes(draw) -> list[float]:
    x, y = draw(st.integers(-4, 90)), draw(st.integers(-4, 90))
    w, h = (draw(st.sampled_from((0, 1, 7, 20, 32, 33, 60, 97, 110))) for _ in range(2))
    half = draw(st.sampled_from((0, 0, 0.5)))
    return [x + half, y, w, h]


@st.composite
def polygons(draw, box) -> list[float]:
    """Draw polygons: a box, any points around the box, or too few points."""
    x, y, w, h = box
    kind = draw(st.sampled_from(("box", "box", "any", "any", "line", "few", "odd")))
    if kind == "box":
        return [x, y, x + w, y, x + w, y + h, x, y + h]
    if kind == "line":
        return [x, y, x + w, y + h, x, y]
    count = {"any": draw(st.integers(3, 6)) * 2, "few": draw(st.integers(0, 5)), "odd": 7}[kind]
    return [draw(st.integers(-5, 60)) / 2 + (x, y)[index % 2] for index in range(count)]


@st.composite
def segmentations(draw, box):
    kind = draw(st.sampled_from(("polygons", "polygons", "compressed", "runs", "no pixels")))
    if kind == "polygons":
        return [draw(polygons(box)) for _ in range(draw(st.sampled_from((1, 1, 2, 3))))]
    plane = plane_of(box) * (kind != "no pixels")
    return run_lengths(plane) if kind == "runs" else encoded(plane)


@st.composite
def objects(draw, image_id, category_ids, areas) -> dict:
    box = draw(boxes())
    item = {"image_id": image_id, "category_id": draw(st.sampled_from(category_ids)), "bbox": box}
    item["segmentation"] = draw(segmentations(box))
    area = draw(st.sampled_from(areas))
    if area is not None:
        item["area"] = box[2] * box[3] + 1 if area == "box" else area
    return item


@st.composite
def detections(draw, item, category_ids) -> dict:
    """Draw a detection that matches, nearly matches or misses the object."""
    shift = draw(st.sampled_from((0, 0, 1, 3, 15)))
    box = [value + draw(st.integers(-shift, shift)) for value in item["bbox"]]
    if draw(st.sampled_from((False, False, True))):  # a detection inside the object, as in a crowd
        box = [box[0] + box[2] // 4, box[1] + box[3] // 4, box[2] // 2, box[3] // 2]
    box[2:] = [max(value, 0) for value in box[2:]]
    category = item["category_id"] if draw(st.integers(0, 4)) else draw(st.sampled_from(category_ids))
    result = {"image_id": item["image_id"], "category_id": category, "score": draw(st.sampled_from(_SCORES))}
    return result | {"bbox": box, "segmentation": encoded(plane_of(box))}


@st.composite
def data_sets(draw, areas, finish_object, finish_image) -> tuple[dict, list[dict]]:
    """Draw the content of an annotation file, and results. ``finish_*`` add the fields of a format."""
    category_ids = draw(ids(draw(st.integers(1, 3))))
    image_ids = draw(ids(draw(st.integers(1, 4))))
    images, annotations, results = [], [], []
    for key in image_ids:
        image = {"id": key, "file_name": f"{key}.png", "coco_url": f"x/{key}.png", "height": SIDE, "width": SIDE}
        images.append(finish_image(draw, image, category_ids))
        for _ in range(draw(st.integers(0, 4))):
            item = draw(objects(key, category_ids, areas))
            annotations.append(finish_object(draw, item))
            results += [draw(detections(item, category_ids)) for _ in range(draw(st.integers(0, 3)))]
    for item, key in zip(annotations, draw(ids(len(annotations))), strict=True):
        item["id"] = key
    annotations, results = draw(st.permutations(annotations)), draw(st.permutations(results))
    categories = [{"id": key, "name": str(key), "frequency": "rcf"[key % 3]} for key in category_ids]
    return {"images": images, "categories": categories, "annotations": annotations}, results


def _coco_object(draw, item: dict) -> dict:
    crowd = draw(st.sampled_from((0, 0, 0, 1, None)))
    if crowd is not None:
        item["iscrowd"] = crowd
    if draw(st.integers(0, 9)) == 0:
        item["ignore"] = 1
    if (crowd and draw(st.integers(0, 3)) == 0) or draw(st.integers(0, 29)) == 0:
        del item["segmentation"]
    return item


def _lvis_object(draw, item: dict) -> dict:
    return item | {"ignore": draw(st.sampled_from((0, 0, 0, 1)))}


def _lvis_image(draw, image: dict, category_ids: list[int]) -> dict:
    lists = ("neg_category_ids", "not_exhaustive_category_ids")
    return image | {key: draw(st.lists(st.sampled_from(category_ids), unique=True)) for key in lists}


def coco_sets() -> st.SearchStrategy[tuple[dict, list[dict]]]:
    areas = ("box", "box", "box", 0, -1, None, 0.3, 32**2, 96**2, 1e6)
    return data_sets(areas, _coco_object, lambda draw, image, category_ids: image)


def lvis_sets() -> st.SearchStrategy[tuple[dict, list[dict]]]:
    return data_sets(("box", "box", "box", 0, -1, 0.3, 32**2, 96**2, 1e6), _lvis_object, _lvis_image)
