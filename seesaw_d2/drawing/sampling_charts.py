"""Draw charts that show how often training samples each category of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from seesaw_d2.drawing.plain_text import plain_text, save_figure
from seesaw_d2.frequency_groups import GROUP_NAMES

if TYPE_CHECKING:
    from seesaw_d2.data.sampling.analysis import SamplingAnalysis

COLORS = ("#d95f02", "#1f78b4", "#7f7f7f")


@plain_text()
def draw_sampling(analysis: SamplingAnalysis, path: str, title: str = "") -> None:
    """Draw three charts of a training dataset, and save the figure.

    The charts show the number of images of each category, the repeat factor of each category, and the share of each
    frequency group (rare, common, frequent) in the instances of an epoch.

    Args:
        analysis: numbers of images and instances per category, with and without repeat factor sampling.
        path: path of the figure. The extension selects the file format.
        title: title of the figure.
    """
    figure = Figure(figsize=(13, 4))
    frequency, factors, shares = figure.subplots(1, 3)
    order = np.argsort(-analysis.statistics.image_count, kind="stable")
    rank = np.arange(len(order))
    groups = analysis.groups[order]
    for group, (name, color) in enumerate(zip(GROUP_NAMES, COLORS, strict=True)):
        chosen = groups == group
        images = np.maximum(analysis.statistics.image_count[order][chosen], 0.5)  # the logarithmic axis cannot show 0
        frequency.scatter(rank[chosen], images, s=6, color=color, label=f"{name} ({chosen.sum()})")
        factors.scatter(rank[chosen], analysis.category_factors[order][chosen], s=6, color=color)
    frequency.set(yscale="log", xlabel="category, by frequency", ylabel="training images")
    frequency.legend()
    factors.set(xlabel="category, by frequency", ylabel="repeat factor")
    _draw_shares(shares, analysis)
    figure.suptitle(title)
    figure.tight_layout()
    save_figure(figure, path, dpi=100)


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
