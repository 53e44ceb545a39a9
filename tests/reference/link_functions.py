"""Class weights of FRACAL from frequencies, number by number (github kostas1515/FRACAL, stat_files)."""

import math

from scipy.special import ndtri

LINKS = {
    "raw": lambda p: -math.log(p),
    "base2": lambda p: -math.log2(p),
    "base10": lambda p: -math.log10(p),
    "prob": lambda p: math.log((1 - p) / p),
    "normit": lambda p: -ndtri(p),
    "gombit": lambda p: -math.log(-math.log(1 - p)),
}


def link(name: str, counts: list[int], total: int) -> list[float]:
    """Return the weight of each category: ``counts`` out of ``total`` images (or instances)."""
    if name == "smooth":
        return [math.log((total + 1) / (n + 1)) + 1 for n in counts]
    return [LINKS[name](n / total) for n in counts]


def fracal_weights(name: str, counts: list[int], total: int) -> list[float]:
    """Return FRACAL's weights: the link minus its value at the uniform share 1 / C."""
    num_classes = len(counts)
    if name == "smooth":
        return [weight + 1 - math.log((300 * num_classes + 1) / 301) for weight in link(name, counts, total)]
    return [weight - LINKS[name](1 / num_classes) for weight in link(name, counts, total)]
