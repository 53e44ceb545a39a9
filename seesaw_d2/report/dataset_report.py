"""Report how often training samples each category of a dataset, as text and as a CSV file."""

import csv

import numpy as np
from detectron2.config import CfgNode

from seesaw_d2.data.records.fractal_dimension import training_fractal_dimensions
from seesaw_d2.data.records.statistics import training_statistics
from seesaw_d2.data.sampling.analysis import SamplingAnalysis
from seesaw_d2.evaluation.results_files import write_csv
from seesaw_d2.frequency_groups import GROUP_NAMES
from seesaw_d2.utils.escaping import cell

STATISTICS = ("category_id", "image_count", "instance_count", "fractal_dimension")
HEADER = ("category", "group", "images", "instances", "repeat factor")


def category_rows(analysis: SamplingAnalysis) -> list[tuple]:
    """Return one tuple per category, in descending order of the number of images.

    A tuple contains name, frequency group, number of images, number of instances and repeat factor of the category, and
    for each sampling method, such as repeat factor sampling, the number of sampled instances per epoch.
    """
    counts = analysis.statistics
    order = np.lexsort((-counts.instance_count, -counts.image_count))
    return [
        (
            counts.names[c],
            GROUP_NAMES[analysis.groups[c]],
            int(counts.image_count[c]),
            int(counts.instance_count[c]),
            round(float(analysis.category_factors[c]), 3),
            *(round(float(instances[c]), 1) for instances in analysis.epoch_instances.values()),
        )
        for c in order
    ]


def sampling_report(analysis: SamplingAnalysis, num_categories: int = 10) -> str:
    """Return a text with a table of frequency groups and a table of categories.

    The table of frequency groups shows which share of the sampled instances belongs to each group, for each sampling
    method. The table of categories shows the numbers of images and instances, the repeat factor and the number of
    sampled instances per epoch.

    Args:
        analysis: the sampling analysis of a dataset.
        num_categories: the table lists this number of the most frequent categories, and the same number of the least
            frequent categories.
    """
    counts, samplings = analysis.statistics, list(analysis.epoch_images)
    lines = [analysis.summary(), ""]
    lines.append(_line("group", "categories", "sum of images", "instances", *(f"{name}, share" for name in samplings)))
    shares = {name: analysis.group_shares(name) for name in samplings}
    for group, name in enumerate(GROUP_NAMES):
        chosen = analysis.groups == group
        of_samplings = (f"{shares[sampling][group]:.2%}" for sampling in samplings)
        lines.append(
            _line(
                name,
                chosen.sum(),
                counts.image_count[chosen].sum(),
                counts.instance_count[chosen].sum(),
                *of_samplings,
            )
        )
    rows = category_rows(analysis)
    lines += ["", _line(*HEADER, *(f"{name}, epoch" for name in samplings))]
    if len(rows) <= 2 * num_categories:
        lines += [_line(*row) for row in rows]
    else:
        lines += [_line(*row) for row in rows[:num_categories]]
        lines.append(f"... {len(rows) - 2 * num_categories} more ...")
        lines += [_line(*row) for row in rows[len(rows) - num_categories :]]
    return "\n".join(lines)


def _line(first, *others) -> str:
    return f"{str(first)[:27]:<28}" + "".join(f"{value!s:>18}" for value in others)


def write_categories(analysis: SamplingAnalysis, path: str) -> None:
    """Write a CSV file with one row per category: counts, repeat factor and sampled instances per epoch.

    Args:
        analysis: the sampling analysis of a dataset.
        path: path of the CSV file.
    """
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADER, *(f"instances an epoch, {name}" for name in analysis.epoch_instances)])
        writer.writerows([cell(value) for value in row] for row in category_rows(analysis))


def write_statistics(cfg: CfgNode, path: str) -> None:
    """Write the numbers of images and instances and the fractal dimension of each category to a CSV file.

    The categories are those of DATASETS.TRAIN. Their ids in the file are 1, 2, 3, ..., in the order of the model's
    classes.
    """
    counts = training_statistics(cfg)
    dimensions = training_fractal_dimensions(cfg, len(counts.names))
    ids = range(1, len(counts.names) + 1)
    columns = counts.image_count.tolist(), counts.instance_count.tolist(), dimensions.tolist(), counts.names
    header = (*STATISTICS, "name")
    write_csv(path, [dict(zip(header, row, strict=True)) for row in zip(ids, *columns, strict=True)], header)
