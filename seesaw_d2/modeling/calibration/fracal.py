"""FRACAL (Alexandridis et al., Fractal Calibration for Long-tailed Object Detection, CVPR 2025).

Shapes: C categories. p_c is the share of training images with category c, D_c the fractal dimension of its box centres.
"""

import math
from typing import Any, ClassVar

from torch import Tensor

from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.link_functions import link_weights
from seesaw_d2.modeling.calibration.base import Calibration, scale_odds

# With the link "smooth" the uniform distribution is that of so many images of each category, and 2 is added.
_SMOOTH_COUNT = 300


def class_weights(counts: Tensor, total: float | Tensor, link: str = "base10") -> Tensor:
    """Return g(p_c) - g(1 / C), (C,), for p = counts / total. It is 0 for p_c = 1 / C, except with "smooth".

    As in the reference, "base10" adds a decimal logarithm to natural logits, and the p_c of images do not sum to 1.

    Args:
        counts: (C,), > 0 and, with "prob", "normit" and "gombit", < ``total``.
        total: number of all images.
        link: link function g; see ``losses.link_functions``.
    """
    counts = counts.double()
    if link == "smooth":
        uniform = link_weights(link, counts.new_tensor(_SMOOTH_COUNT), _SMOOTH_COUNT * len(counts)) - 2
    else:
        uniform = link_weights(link, counts.new_tensor(1.0), len(counts))
    return link_weights(link, counts, total) - uniform


def fracal(weights: Tensor, dimensions: Tensor, lambda_: float) -> Tensor:
    """Return the log factors for a softmax over the categories, w_c - λ log D_c, (C,), for ``class_weights`` w."""
    return weights - lambda_ * dimensions.double().log()


def fracal_sigmoid(weights: Tensor, dimensions: Tensor, lambda_: float) -> Tensor:
    """Return the offsets for the logits of sigmoids, (C,): w_c - log10(C D_c^λ / Σ_j D_j^λ), ``class_weights`` w."""
    spread = dimensions.double() ** lambda_
    return weights - (spread / spread.sum()).log10() - math.log10(len(spread))


class FRACAL(Calibration):
    """Multiply exp(z_c) by the class weight and divide it by D_c^λ. Background has factor 1.

    With sigmoids the score is σ(z) σ(z + w), where w are the offsets of ``fracal_sigmoid``.

    Deviation: a category without training images counts as if it had one, and a category in all images as if it were
    absent from half an image. The reference gives both an infinite weight.

    Args:
        image_count: (C,) training images with the category.
        num_images: number of training images.
        dimensions: (C,) fractal dimensions in [1, 2].
        lambda_: λ >= 0; the paper's value is 2.
    """

    sigmoid_log_factors: Tensor

    config_keys: ClassVar[dict[str, str]] = {"lambda_": "LAMBDA"}
    needs_dimensions: ClassVar[bool] = True
    grid: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)

    def __init__(self, image_count: Tensor, num_images: int, dimensions: Tensor, lambda_: float):
        lambda_ = check_number("lambda_", lambda_, "a number >= 0", lambda value: value >= 0)
        images = max(num_images, 1)
        weights = class_weights(image_count.double().clamp(min=1).clamp(max=images - 0.5), images)
        super().__init__(fracal(weights, dimensions, lambda_))
        self.register_buffer("sigmoid_log_factors", fracal_sigmoid(weights, dimensions, lambda_), persistent=False)

    @classmethod
    def from_statistics(cls, statistics: Any, **arguments: Any) -> "FRACAL":
        return cls(statistics.image_count, statistics.num_images, statistics.fractal_dimensions(), **arguments)

    def calibrate_sigmoids(self, probs: Tensor) -> Tensor:
        return probs * scale_odds(probs, self.sigmoid_log_factors)
