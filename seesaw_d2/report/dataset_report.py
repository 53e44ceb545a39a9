"""A data set's categories and how they are sampled, as text, table file and picture.

Shapes: C categories.
"""

import csv

import numpy as np
from matplotlib.figure import Figure

from seesaw_d2.data.sampling.analysis import SamplingAnalysis
from seesaw_d2.frequency_groups import GROUP_NAMES

COLORS = ("#d95f02", "#1f78b4", "#7f7f7f")
HEADER = ("category", "group", "images", "instances", "repeat factor")


def category_rows(analysis: SamplingAnalysis) -> list[tuple]:
    """C rows: name, group, images, instances, repeat factor, instances in an epoch of each sampling; by frequency."""
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
    """The groups' shares under each sampling, and the most and the least frequent categories, as text.

    Args:
        num_categories: how many of each to list.
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
        lines += [_line(*row) for row in rows[-num_categories:]]
    return "\n".join(lines)


def _line(first, *others) -> str:
    return f"{str(first)[:27]:<28}" + "".join(f"{value!s:>18}" for value in others)


def write_categories(analysis: SamplingAnalysis, path: str) -> None:
    """All rows of ``category_rows`` as a CSV file."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADER, *(f"instances an epoch, {name}" for name in analysis.epoch_instances)])
        writer.writerows(category_rows(analysis))


def draw_sampling(analysis: SamplingAnalysis, path: str, title: str = "") -> None:
    """Write a picture: images and repeat factor of each category by frequency, and the groups' shares.

    Args:
        path: where it goes; its ending says the format.
        title: of the picture.
    """
    figure = Figure(figsize=(13, 4))
    frequency, factors, shares = figure.subplots(1, 3)
    order = np.argsort(-analysis.statistics.image_count, kind="stable")
    rank = np.arange(len(order))
    groups = analysis.groups[order]
    for group, (name, color) in enumerate(zip(GROUP_NAMES, COLORS, strict=True)):
        chosen = groups == group
        images = np.maximum(analysis.statistics.image_count[order][chosen], 0.5)  # none is below the axis otherwise
        frequency.scatter(rank[chosen], images, s=6, color=color, label=f"{name} ({chosen.sum()})")
        factors.scatter(rank[chosen], analysis.category_factors[order][chosen], s=6, color=color)
    frequency.set(yscale="log", xlabel="category, by frequency", ylabel="training images")
    frequency.legend()
    factors.set(xlabel="category, by frequency", ylabel="repeat factor")
    _draw_shares(shares, analysis)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _draw_shares(ax, analysis: SamplingAnalysis) -> None:
    samplings = list(analysis.epoch_images)
    width = 0.8 / len(samplings)
    for index, sampling in enumerate(samplings):
        shares = analysis.group_shares(sampling)
        places = np.arange(len(GROUP_NAMES)) + (index - (len(samplings) - 1) / 2) * width
        bars = ax.bar(places, shares * 100, width, label=f"{sampling} ({analysis.epoch_images[sampling]:.0f} images)")
        ax.bar_label(bars, [f"{share:.1%}" for share in shares], fontsize=7)
    ax.set_xticks(range(len(GROUP_NAMES)), GROUP_NAMES)
    ax.set(yscale="log", ylabel="training instances of an epoch, %", ylim=(0.1, 400))
    ax.legend(fontsize=8, loc="upper left")
