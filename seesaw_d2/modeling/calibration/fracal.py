"""Define FRACAL, which calibrates scores by the frequency and the spatial distribution of each category.

Source: Fractal Calibration for Long-tailed Object Detection (Alexandridis et al., CVPR 2025). The reference
implementation is github kostas1515/FRACAL.

Notation: C categories. p_c is the frequency of category c, the share of the training images that contain the category.
D_c is the fractal dimension of the box centers of category c, a number in [1, 2]. λ is the exponent of D_c.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.argument_checks import Description
from seesaw_d2.losses.base import InvalidArgument, check_number
from seesaw_d2.losses.category_statistics import category_counts
from seesaw_d2.losses.link_functions import LINKS, link_weights
from seesaw_d2.modeling.calibration.base import Calibration, scale_odds

# With the link "smooth", ``class_weights`` compares the dataset with a balanced one, which has this number of images
# or instances in each category. The numbers are those of the authors' code.
_SMOOTH_COUNTS = {"images": 300, "instances": 1000}


def class_weights(counts: Tensor, total: float | Tensor, link: str = "base10", frequency: str = "images") -> Tensor:
    """Return the weight g(p_c) - g(1 / C) of each of C categories c, where g is the link function.

    p_c = counts / total is the frequency of the category. A category with the frequency 1 / C has the weight 0. The
    link "smooth" is a function of count and total instead of p. With "smooth", g(n, C n) - 2 replaces g(1 / C), where n
    is a fixed number of samples per category.

    As in the reference, "base10" uses decimal logarithms, although logits are natural logarithms. Image frequencies p_c
    do not sum to 1, because an image can contain several categories.

    Args:
        counts: (C,), > 0, number of images or instances of each category. With "prob", "normit" and "gombit", all
            counts must be < ``total``.
        total: number of all images or of all instances.
        link: name of the link function, one of ``losses.link_functions.LINKS``.
        frequency: whether ``counts`` are numbers of "images" or of "instances". Only "smooth" uses this argument.
    """
    counts = counts.double()
    if link == "smooth":
        count = _SMOOTH_COUNTS[frequency]
        uniform = link_weights(link, counts.new_tensor(count), count * len(counts)) - 2
    else:
        uniform = link_weights(link, counts.new_tensor(1.0), len(counts))
    return link_weights(link, counts, total) - uniform


def fracal(weights: Tensor, dimensions: Tensor, lambda_: float) -> Tensor:
    """Return the log factor w_c - λ log D_c of each category c, for a softmax over the categories.

    Args:
        weights: weights w of the categories, computed by ``class_weights``.
        dimensions: fractal dimensions D of the categories, in [1, 2].
        lambda_: λ >= 0.
    """
    return weights - lambda_ * dimensions.double().log()


def fracal_sigmoid(weights: Tensor, dimensions: Tensor, lambda_: float) -> Tensor:
    """Return the offset w_c - log10(C D_c^λ / Σ_j D_j^λ) of the logit of each of C categories c, for sigmoids.

    Args:
        weights: weights w of the categories, computed by ``class_weights``.
        dimensions: fractal dimensions D of the categories, in [1, 2].
        lambda_: λ >= 0.
    """
    spread = dimensions.double() ** lambda_
    return weights - (spread / spread.sum()).log10() - math.log10(len(spread))


def _finite_weights(counts: Tensor, total: int, link: str, frequency: str) -> Tensor:
    """Return the ``class_weights`` of counts that are clamped so that the weights are finite, or zeros for "none".

    The arguments are as in ``class_weights``. ``link`` can also be "none".

    Raises:
        InvalidArgument: a weight is not finite.
    """
    if link == "none":
        return torch.zeros_like(counts)
    if link != "smooth":
        counts = counts.clamp(min=1)
    if link in ("prob", "normit", "gombit"):
        counts = counts.clamp(max=total - 0.5)
    weights = class_weights(counts, total, link, frequency)
    if not bool(weights.isfinite().all()):
        expected = "a link function with a finite weight for each category, such as base10"
        raise InvalidArgument("link", expected, Description(f"{link!r} with weights that are not finite"))
    return weights


class FRACAL(Calibration):
    """Calibrate scores with the image frequency and the fractal dimension of each category.

    With a softmax, exp(z_c) of each category c is multiplied by exp(w_c) / D_c^λ, where z_c is the logit and w_c the
    weight from ``class_weights``, which is large for rare categories. Background has factor 1. With sigmoids, the score
    is σ(z_c) σ(z_c + o_c), where o_c is the offset from ``fracal_sigmoid``.

    In the reference, a category in no image or in all images can have an infinite weight. This class clamps the count
    of a category from below to 1, except with "smooth". With "prob", "normit" and "gombit", this class also clamps the
    count from above to ``num_images`` - 0.5.

    Args:
        image_count: number of training images, or of training instances, of each category c.
        num_images: number of all training images, or of all training instances.
        dimensions: fractal dimension D_c of each category c, in [1, 2].
        lambda_: λ >= 0. The paper uses 2.
        link: link function of the class weights, one of ``losses.link_functions.LINKS``. With "none", all weights are
            0.
        frequency: whether ``image_count`` and ``num_images`` count "images" or "instances".
    """

    sigmoid_log_factors: Tensor

    config_keys: ClassVar[dict[str, str]] = {
        "lambda_": "LAMBDA",
        "link": "FRACAL.LINK",
        "frequency": "FRACAL.FREQUENCY",
        "num_images": "FRACAL.NUM_IMAGES",
    }
    needs_dimensions: ClassVar[bool] = True
    grid: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)

    def __init__(
        self,
        image_count: Tensor,
        num_images: int,
        dimensions: Tensor,
        lambda_: float,
        *,
        link: str = "base10",
        frequency: str = "images",
    ):
        lambda_ = check_number("lambda_", lambda_, "a number >= 0", lambda value: value >= 0)
        if link not in (*LINKS, "none"):
            raise InvalidArgument("link", f"one of {', '.join(LINKS)}, none", link)
        if frequency not in _SMOOTH_COUNTS:
            raise InvalidArgument("frequency", " or ".join(_SMOOTH_COUNTS), frequency)
        counts = category_counts("image_count", image_count)
        weights = _finite_weights(counts, max(num_images, 1), link, frequency)
        super().__init__(fracal(weights, dimensions, lambda_))
        self.register_buffer("sigmoid_log_factors", fracal_sigmoid(weights, dimensions, lambda_), persistent=False)

    @classmethod
    def from_statistics(
        cls, statistics: Any, *, frequency: str = "images", num_images: int = 0, **arguments: Any
    ) -> "FRACAL":
        """Construct the calibration from ``CalibrationStatistics``.

        Args:
            statistics: statistics of the training set.
            frequency: whether the frequency of a category is its share of the "images" or of the "instances".
            num_images: number of training images. If 0, ``statistics.num_images`` is used.
            arguments: further arguments of the constructor.
        """
        counts, total = statistics.image_count, num_images or statistics.num_images
        if frequency == "instances":
            counts, total = statistics.instance_count, int(statistics.instance_count.sum())
        if total < counts.max() and arguments.get("link") != "none":
            most = int(counts.max())
            advice = f"The most frequent category is in {most} images. Set the number of training images."
            raise InvalidArgument("num_images", f"an integer >= {most}", total, advice)
        return cls(counts, total, statistics.fractal_dimensions(), frequency=frequency, **arguments)

    def calibrate_sigmoids(self, probs: Tensor) -> Tensor:
        return probs * scale_odds(probs, self.sigmoid_log_factors)
