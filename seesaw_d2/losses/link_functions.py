"""Define link functions, which compute the weight of a category from the frequency of the category.

The loss Inverse Image Frequency and the calibration FRACAL use link functions.

Shapes: C categories.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# Maps the name of a link function to the function, which computes the weight of a category from its frequency p.
_OF_FREQUENCY: dict[str, Callable[[Tensor], Tensor]] = {
    "raw": lambda p: -p.log(),
    "base2": lambda p: -p.log2(),
    "base10": lambda p: -p.log10(),
    "prob": lambda p: torch.log1p(-p) - p.log(),
    "normit": lambda p: -torch.special.ndtri(p),
    "gombit": lambda p: -(-torch.log1p(-p)).log(),
}
LINKS = ("smooth", *_OF_FREQUENCY)


def link_weights(link: str, counts: Tensor, total: float | Tensor) -> Tensor:
    """Return the weight of each category. Rare categories have larger weights than frequent categories.

    The link function defines the weight for the frequency p = ``counts`` / ``total``:

    - "raw": -ln p.
    - "base2": -log2 p.
    - "base10": -log10 p.
    - "prob": ln((1 - p) / p). The weight is negative for p > 1/2 and infinite for p = 1.
    - "normit": -Φ^-1(p), where Φ is the standard normal distribution function. The weight is negative for p > 1/2 and
      infinite for p = 1.
    - "gombit": -ln(-ln(1 - p)). The weight is negative for p > 1 - 1/e and infinite for p = 1.
    - "smooth": 1 + ln((total + 1) / (counts + 1)). The weight is at least 1.

    For p = 0, only the weight of "smooth" is finite.

    Args:
        link: one of ``LINKS``.
        counts: floating point (C,), number of images or instances of each of C categories.
        total: number of all images or of all instances.
    """
    if link == "smooth":
        return ((total + 1) / (counts + 1)).log() + 1
    return _OF_FREQUENCY[link](counts / total)
