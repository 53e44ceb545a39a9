"""Implement the link functions of IIF and FRACAL for single numbers (github kostas1515/FRACAL, stat_files)."""

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
    """Return the weight of each category, which occurs in ``counts`` of ``total`` images (or instances)."""
    if name == "smooth":
        return [math.log((total + 1) / (n + 1)) + 1 for n in counts]
    return [LINKS[name](n / total) for n in counts]
