"""Draw ground truth and detections, and mark correct detections, wrong detections and missed objects."""

import os
from collections import Counter, defaultdict
from types import SimpleNamespace

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import read_image
from detectron2.structures import BoxMode
from detectron2.utils.visualizer import Visualizer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torchvision.ops import nms

from seesaw_d2.drawing.detection_outcomes import MISSED, RIGHT, TRUTH, UNJUDGED, WRONG, Shown, judge
from seesaw_d2.drawing.model_output import COLORS
from seesaw_d2.drawing.plain_text import plain_text, save_figure
from seesaw_d2.errors import DataError
from seesaw_d2.evaluation.evaluation_settings import tell_replaced_results
from seesaw_d2.evaluation.results_files import read_results
from seesaw_d2.frequency_groups import GROUP_NAMES

SCALE = 3.0  # enlarge images by this factor, so that edges of boxes and masks are smooth
PANEL = 3.4  # side length of each image in the figure, in inches
MARKS = {RIGHT: ("✓ ", "#35e055"), WRONG: ("✗ ", "#ff7b72"), UNJUDGED: ("? ", "#c0c0c0"), MISSED: ("", "#ffee00")}


@plain_text()
def draw_predictions(dataset_name, results, path, *, num_images=6, min_score=0.3, groups=None) -> None:
    """Draw the ground truth and the detections of one or more models on images of a dataset.

    Each image has one panel with the ground truth, and one panel for each results file. A panel with detections marks
    each detection as right or wrong, and each object without a detection as missed. The images are evenly spaced in the
    dataset, so that they are a fair sample. If several detections overlap with an IoU above 0.7, only the detection
    with the highest score is drawn.

    Args:
        dataset_name: name of a registered dataset with annotations.
        results: dict from the title of a panel to the path of a file in LVIS's results format.
        path: path of the figure. The extension selects the file format.
        num_images: number of images.
        min_score: minimum score of drawn detections, in [0, 1].
        groups: frequency group of each category (0: rare, 1: common, 2: frequent), or None if unknown. The group
            selects the color of ground-truth labels.

    Raises:
        DataError: an image has no annotations, or a results file is invalid (see ``read_results``) or has no boxes.
    """
    metadata = MetadataCatalog.get(dataset_name)
    known = DatasetCatalog.get(dataset_name)
    records = _choose(known, num_images)
    if any("annotations" not in record for record in records):
        raise DataError(f"dataset {dataset_name!r}: expected annotations, found images without annotations")
    index_of = metadata.thing_dataset_id_to_contiguous_id
    truths = {record["image_id"]: _truths(record) for record in records}
    columns = {"ground truth": truths}
    for title, file in results.items():
        found = _detections(file, min_score, known, index_of)
        judged = {
            record["image_id"]: judge(
                found.get(record["image_id"], []), truths[record["image_id"]], _judged_categories(record, index_of)
            )
            for record in records
        }
        columns[f"{title}\n{_count(judged)}"] = judged
    per_row = 2 if len(records) > 1 and len(columns) < 3 else 1  # number of images in each row of the figure
    rows = -(-len(records) // per_row)
    figure = Figure(figsize=(PANEL * per_row * len(columns), (PANEL + 0.05) * rows + 0.8))
    axes = figure.subplots(rows, per_row * len(columns), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for index, record in enumerate(records):
        row = axes[index // per_row][(index % per_row) * len(columns) :]
        for ax, (title, shown) in zip(row, columns.items(), strict=False):
            _draw(ax, record, shown[record["image_id"]], metadata, groups)
            if index < per_row:
                ax.set_title(title, fontsize=9)
    figure.suptitle(_legend(groups, min_score), fontsize=9, y=0.995)
    figure.tight_layout()
    save_figure(figure, path, dpi=100)


def _legend(groups, min_score: float) -> str:
    text = f"detections with a score above {min_score:.0%}: right green ✓, wrong red ✗. Missed objects: yellow, dashed"
    if groups is None:
        return text
    colors = zip(GROUP_NAMES, ("orange", "blue", "white"), strict=True)
    return f"{text}\nlabel colors of the ground truth: {', '.join(f'{name} {color}' for name, color in colors)}"


def _count(judged: dict[int, list[Shown]]) -> str:
    counts = Counter(each.verdict for shown in judged.values() for each in shown)
    return f"{counts[RIGHT]} right, {counts[WRONG]} wrong, {counts[MISSED]} missed"


def _draw(ax, record, shown: list[Shown], metadata, groups) -> None:
    """Draw an image with boxes, masks and labels. The labels are Matplotlib text, so that they stay sharp.

    Args:
        ax: Matplotlib axes.
        record: dataset dict of the image.
        shown: ground-truth objects or detections to draw.
        metadata: Detectron2's metadata of the dataset.
        groups: frequency group of each category (0: rare, 1: common, 2: frequent), or None if unknown. The group
            selects the color of ground-truth labels.
    """
    visualizer = Visualizer(read_image(record["file_name"], "RGB"), metadata, scale=SCALE)
    colors = [_color(each, groups) for each in shown]
    solid = [each.verdict != MISSED for each in shown]
    drawn = [each for each, is_solid in zip(shown, solid, strict=True) if is_solid]
    if drawn:
        masks = [each.segmentation for each in drawn]
        visualizer.overlay_instances(
            boxes=np.array([each.box for each in drawn]),
            masks=None if any(mask is None for mask in masks) else masks,
            assigned_colors=[color for color, is_solid in zip(colors, solid, strict=True) if is_solid],
            alpha=0.25,
        )
    image = visualizer.output.get_image()
    scale = image.shape[1] / record["width"]
    ax.imshow(image)
    for each, color in zip(shown, colors, strict=True):
        x0, y0, x1, y1 = (scale * float(value) for value in each.box)
        if each.verdict == MISSED:
            ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linestyle="--"))
            continue
        mark = "" if each.verdict == TRUTH else MARKS[each.verdict][0]
        style = {"facecolor": "black", "alpha": 0.65, "pad": 0.6, "edgecolor": "none"}
        text = mark + metadata.thing_classes[each.category]
        right = x0 > 0.7 * image.shape[1]  # near the right border, align the label to the right side of the box
        place = {"x": x1 if right else x0, "y": max(y0, 14), "ha": "right" if right else "left", "va": "bottom"}
        ax.text(**place, s=text, color=color, fontsize=7.5, bbox=style, clip_on=True)


def _color(shown: Shown, groups) -> str:
    if shown.verdict != TRUTH:
        return MARKS[shown.verdict][1]
    return COLORS[-1 if groups is None else groups[shown.category]]


def _truths(record) -> list[Shown]:
    return [
        Shown(BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS), a.get("segmentation"), a["category_id"])
        for a in record["annotations"]
        if not a.get("iscrowd", 0)
    ]


def _judged_categories(record, index_of) -> set[int] | None:
    """Return the indices of the classes for which all objects in the image are annotated, or None for all classes.

    In LVIS, the annotations of an image are complete only for some classes. Detections of other classes are not counted
    as wrong.

    Args:
        record: dataset dict of the image.
        index_of: dict from category id to class index.
    """
    if record.get("neg_category_ids") is None:
        return None
    partial = {index_of[i] for i in record.get("not_exhaustive_category_ids", ()) if i in index_of}
    present = {a["category_id"] for a in record["annotations"]}
    return (present | {index_of[i] for i in record["neg_category_ids"] if i in index_of}) - partial


def _detections(file, min_score: float, records, index_of) -> dict[int, list[Shown]]:
    """Read the detections to draw from a results file.

    Args:
        file: path of a file in LVIS's results format.
        min_score: minimum score of the detections.
        records: dataset dicts of all images of the dataset.
        index_of: dict from category id to class index.

    Returns:
        a dict from image id to the detections in the image, best score first. Detections that overlap a better
        detection with an IoU above 0.7 are omitted.
    """
    tell_replaced_results(os.path.dirname(file))
    known = SimpleNamespace(imgs={record["image_id"]: record for record in records}, cats=index_of)
    results = read_results(str(file), known)
    if results.boxes is None:
        raise DataError(f'{file}: cannot draw the detections, because they have "segmentation", but no "bbox"')
    results = results[results.scores >= min_score]
    boxes = BoxMode.convert(results.boxes, BoxMode.XYWH_ABS, BoxMode.XYXY_ABS).tolist()
    masks = results.rles() if results.has_masks else [None] * len(results)
    found = defaultdict(list)
    columns = (results.image_ids.tolist(), boxes, masks, results.category_ids.tolist(), results.scores.tolist())
    for image, box, mask, category, score in zip(*columns, strict=True):
        found[image].append((Shown(box, mask, index_of[category]), score))
    return {image: _best(objects) for image, objects in found.items()}


def _best(objects: list[tuple[Shown, float]]) -> list[Shown]:
    boxes = torch.tensor([shown.box for shown, _ in objects])
    scores = torch.tensor([score for _, score in objects])
    return [objects[i][0] for i in nms(boxes, scores, 0.7).tolist()]


def _choose(records, num_images: int) -> list:
    """Return evenly spaced images of the dataset, starting with the first image."""
    count = min(num_images, len(records))
    return [records[i * len(records) // count] for i in range(count)]
