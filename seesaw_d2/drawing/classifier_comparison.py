"""Draw a figure that compares the predictions of several image classifiers for the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from seesaw_d2.drawing.plain_text import plain_text, save_figure

RIGHT, WRONG = "#007a3d", "#c22f2f"
_PER_ROW, _INCHES = 8, 1.75


@dataclass(frozen=True, eq=False)
class AnsweredImage:
    """Image with its true class, and with the classes that several trained classifiers (runs) predict.

    Attributes:
        pixels: (H, W, 3) uint8, RGB image.
        label: name of the true class.
        training_images: number of training images of the true class.
        answers: for each run, the name of the predicted class.
    """

    pixels: np.ndarray
    label: str
    training_images: int
    answers: Sequence[str]


def by_outcome(labels: Sequence[str], first: Sequence[str], last: Sequence[str]) -> dict[str, list[int]]:
    """Group images by which of two classifiers predict the correct class.

    Args:
        labels: true class of each image.
        first: class that the first classifier predicts for each image.
        last: class that the last classifier predicts for each image.

    Returns:
        the indices of the images in four groups: "last" (only the last classifier is correct), "first" (only the first
        is correct), "both" (both are correct) and "neither" (both are wrong).
    """
    right = [(a == label, b == label) for label, a, b in zip(labels, first, last, strict=True)]
    kinds = {"last": (False, True), "first": (True, False), "both": (True, True), "neither": (False, False)}
    return {name: [i for i, pair in enumerate(right) if pair == kind] for name, kind in kinds.items()}


def proportional(found: Mapping[str, Sequence[int]], limit: int) -> dict[str, list[int]]:
    """Choose about ``limit`` images from several groups, in proportion to the sizes of the groups.

    At least one image of each group is chosen, unless the group is empty. The chosen images of a group are evenly
    spaced in its list.

    Args:
        found: for each group, such as "only the first classifier is correct", the indices of its images.
        limit: approximate number of images to choose.

    Returns:
        for each group, the indices of the chosen images.
    """
    total = sum(map(len, found.values()))
    chosen = {}
    for name, positions in found.items():
        count = min(len(positions), max(1, round(limit * len(positions) / max(total, 1))))
        chosen[name] = [positions[i * len(positions) // count] for i in range(count)]
    return chosen


@plain_text()
def draw_answers(sections: Mapping[str, Sequence[AnsweredImage]], runs: Sequence[str], path) -> None:
    """Draw images with the predictions of each run (trained classifier) below them, and save the figure.

    Correct predictions are green, and wrong predictions are red.

    Args:
        sections: images in each section of the figure. The keys are the titles of the sections.
        runs: names of the runs, in the order of ``AnsweredImage.answers``.
        path: path of the figure. The extension selects the file format.
    """
    # Each line of the figure, from top to bottom, is a title or a list of up to _PER_ROW images.
    lines = []
    for title, images in sections.items():
        lines += [title, *(images[i : i + _PER_ROW] for i in range(0, len(images), _PER_ROW))]
    heights = [0.16 if isinstance(line, str) else 1.0 for line in lines]
    figure = Figure(figsize=(_PER_ROW * _INCHES, sum(heights) * _INCHES * 1.45))
    grid = figure.add_gridspec(
        *(len(lines), _PER_ROW), height_ratios=heights, hspace=0.55, left=0.03, right=0.97, top=0.98, bottom=0.06
    )
    for row, line in enumerate(lines):
        if isinstance(line, str):
            axes = figure.add_subplot(grid[row, :])
            axes.axis("off")
            axes.text(0, 0, line, fontsize=11, fontweight="bold", verticalalignment="bottom")
            continue
        for column, image in enumerate(line):
            _draw(figure.add_subplot(grid[row, column]), image, runs)
    save_figure(figure, path, dpi=80)


def _draw(axes, image: AnsweredImage, runs: Sequence[str]) -> None:
    axes.imshow(image.pixels)
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"{_short(image.label)} ({image.training_images})", fontsize=8)
    for line, (run, answer) in enumerate(zip(runs, image.answers, strict=True)):
        right = answer == image.label
        axes.text(
            *(0.5, -0.06 - 0.13 * line, f"{run}: {'right' if right else _short(answer)}"),
            transform=axes.transAxes,
            fontsize=7,
            color=RIGHT if right else WRONG,
            horizontalalignment="center",
            verticalalignment="top",
        )


def _short(name: str, limit: int = 20) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
