"""Calibrate class probabilities at inference by a factor for each category.

Shapes: N proposals or images, C foreground categories, L classifier logits. Column C of a (N, C + 1) tensor is
background.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seesaw_d2.losses.argument_checks import Description
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument
from seesaw_d2.losses.precision import KeepsBufferTypes


def scale_categories(probs: Tensor, log_factors: Tensor, *, keep_background: bool) -> Tensor:
    """Multiply the probabilities of the categories by exp(``log_factors``) and normalize each row.

    Args:
        probs: (N, C + 1), probabilities of C categories and background for N samples.
        log_factors: (C,), logarithms of the factors.
        keep_background: whether to keep the probability of background. If True, the probabilities of the categories are
            rescaled, so that their sum does not change. If False, the factor of background is 1, and each row is
            divided by its sum.

    Returns:
        (N, C + 1).
    """
    categories, background = probs[:, :-1], probs[:, -1:]
    # Divide all factors by the largest one, so that they do not overflow. The normalized probabilities do not change.
    largest = log_factors.amax() if keep_background else log_factors.amax().clamp(min=0)
    scaled = categories * (log_factors - largest).exp().to(probs.dtype)
    total = scaled.sum(dim=1, keepdim=True)
    tiny = torch.finfo(probs.dtype).tiny
    if keep_background:
        scaled = scaled * (categories.sum(dim=1, keepdim=True) / total.clamp(min=tiny))
        return torch.cat([scaled, background], dim=1)
    background = background * (-largest).exp().to(probs.dtype)
    return torch.cat([scaled, background], dim=1) / (total + background).clamp(min=tiny)


def scale_odds(probs: Tensor, log_factors: Tensor) -> Tensor:
    """Multiply the odds p / (1 - p) of each probability p by the factor of its category. Return the new probabilities.

    If the probabilities are sigmoids of logits, the result is the same as after adding ``log_factors`` to the logits.

    Args:
        probs: (N, C), independent probabilities of C categories for N samples.
        log_factors: (C,), logarithms of the factors.

    Returns:
        (N, C).
    """
    # p f / (p f + 1 - p) is p / (p + (1 - p) / f). Compute the one whose factor is at most 1, because f can overflow.
    scaled = probs * log_factors.clamp(max=0).exp().to(probs.dtype)
    rest = (1 - probs) * (-log_factors).clamp(max=0).exp().to(probs.dtype)
    return scaled / (scaled + rest).clamp(min=torch.finfo(probs.dtype).tiny)


class Calibration(KeepsBufferTypes):
    """Base class of calibrations, which change the scores of detectors and image classifiers at inference.

    A subclass computes a factor for each category, usually from the class counts. The argument ``background`` of the
    loss determines how the factors are applied:

    - "objectness": multiply the softmax over the categories by the factors and normalize. P(background) does not
      change.
    - "class": multiply the softmax by the factors and normalize. P(background) changes unless ``keeps_background`` is
      True.
    - "implicit": multiply the odds of each sigmoid by the factor. P(background) becomes 1 - max_j p_j, where p_j are
      the new probabilities of the categories j.
    - "none": multiply a softmax by the factors and normalize, or multiply the odds of sigmoids by the factors.

    Args:
        log_factors: logarithm of the factor of each of C categories, (C,).

    Buffers:
        log_factors: float64 (C,). Checkpoints do not contain this buffer, because the config and the class counts
            determine the values.
    """

    log_factors: Tensor

    # Whether the probability of background stays the same if background is a class of the softmax.
    keeps_background: ClassVar[bool] = False
    # Maps constructor arguments to config keys below MODEL.ROI_HEADS.CALIBRATION, for example {"tau": "TAU"}.
    config_keys: ClassVar[dict[str, str]] = {}
    # Values that ``tools/calibrate.py`` tries for the first argument in ``config_keys``. A subclass can override the
    # method ``tried`` to select another argument or other values.
    grid: ClassVar[tuple[float, ...]] = ()
    needs_counts: ClassVar[bool] = True  # whether ``from_statistics`` needs class counts
    needs_dimensions: ClassVar[bool] = False  # whether it needs the fractal dimension of each category's box centers

    def __init__(self, log_factors: Tensor):
        super().__init__()
        self.register_buffer("log_factors", log_factors, persistent=False)

    def forward(self, probs: Tensor, background: str) -> Tensor:
        """Return the calibrated class probabilities, in the shape of ``probs``.

        Args:
            probs: (N, C + 1), probabilities of C categories and background for N samples, from the loss.
            background: the background of the loss, "objectness", "class" or "implicit".
        """
        if background != "implicit":
            keep = self.keeps_background or background == "objectness"
            return scale_categories(probs, self.log_factors, keep_background=keep)
        scores = self.calibrate_sigmoids(probs[:, :-1])
        return torch.cat([scores, 1 - scores.amax(dim=1, keepdim=True)], dim=1)

    @classmethod
    def from_statistics(cls, statistics: Any, **arguments: Any) -> "Calibration":
        """Construct the calibration from statistics of the training set.

        Args:
            statistics: a ``CalibrationStatistics`` with class counts and fractal dimensions.
            arguments: values for constructor arguments in ``config_keys``.
        """
        raise NotImplementedError

    @classmethod
    def tried(cls, node: Any) -> tuple[str, tuple[float, ...]]:
        """Return the name of a constructor argument and the values that ``tools/calibrate.py`` tries for it.

        Args:
            node: the config node MODEL.ROI_HEADS.CALIBRATION.
        """
        return next(iter(cls.config_keys)), cls.grid

    @classmethod
    def check(cls, loss: ClassificationLoss, cls_predictor: str) -> None:
        """Raise InvalidArgument if this calibration does not support the loss or the classifier.

        The scores of the loss must be a single softmax or independent sigmoids. A calibration that needs the fractal
        dimensions of boxes also requires a loss with background, because only detectors predict boxes.

        Args:
            loss: the loss of the model.
            cls_predictor: name of the classifier, "NormedLinear", "Linear" or "LWSLinear".
        """
        inner = getattr(loss, "loss", loss)
        kinds = {"softmax": ("objectness", "class", "none"), "sigmoids": ("implicit", "none")}
        if cls.needs_dimensions and loss.background == "none":
            advice = f"{cls.__name__} needs the fractal dimensions of boxes, which only detectors predict."
            raise cls.unsupported("image classifiers", advice)
        if loss.background not in kinds.get(inner.scores, ()):
            advice = (
                f'{cls.__name__} supports a loss with one softmax, or sigmoids with background "implicit" or "none".'
            )
            raise cls.unsupported(f'{type(inner).__name__} with background "{loss.background}"', advice)

    @classmethod
    def unsupported(cls, model: str, reason: str) -> InvalidArgument:
        """Return the error for a model that this calibration does not support.

        Args:
            model: description of the model.
            reason: sentences that explain why the model is not supported.
        """
        return InvalidArgument("calibration", f"a calibration that supports {model}", Description(cls.__name__), reason)

    def adjust_logits(self, logits: Tensor, classifier: nn.Linear) -> Tensor:
        """Return calibrated logits, from which the loss computes probabilities. By default, return ``logits``.

        ``classifier`` is the layer that computed the logits.
        """
        return logits

    def calibrate_sigmoids(self, probs: Tensor) -> Tensor:
        """Return the calibrated probabilities of sigmoids, (samples, categories). By default, scale their odds."""
        return scale_odds(probs, self.log_factors)


def class_probabilities(
    logits: Tensor, loss: ClassificationLoss, calibration: Calibration | None, classifier: nn.Linear
) -> Tensor:
    """Return the class probabilities for the outputs of a classifier, calibrated unless ``calibration`` is None.

    Args:
        logits: (N, L), outputs of the classifier for N samples. ``loss`` defines L, for example C + 2 for C categories
            and an objectness branch.
        loss: the loss, whose method ``probabilities`` converts logits to probabilities.
        calibration: the calibration, or None.
        classifier: the layer that computed the logits.

    Returns:
        (N, C + 1), background last. With background "none": (N, C).

    Raises:
        ValueError: ``loss.probabilities`` returns another number of columns.
    """
    if calibration is None:
        return _checked_probabilities(loss, logits)
    probs = _checked_probabilities(loss, calibration.adjust_logits(logits, classifier))
    if loss.background != "none":
        return calibration(probs, loss.background)
    # A calibration requires a column for background. Add a column of zeros, which does not change the result of the
    # other columns, and remove it from the result.
    sigmoids = getattr(loss, "loss", loss).scores == "sigmoids"
    padded = torch.cat([probs, torch.zeros_like(probs[:, :1])], dim=1)
    return calibration(padded, "implicit" if sigmoids else "objectness")[:, :-1]


def _checked_probabilities(loss: ClassificationLoss, logits: Tensor) -> Tensor:
    probs = loss.probabilities(logits)
    columns = loss.num_label_values
    # Detectron2 drops the last column, which must be background. If this column is missing, it drops the last category.
    # The number of rows is not compared, because it is unknown to torch.export.
    if not torch.jit.is_tracing() and probs.shape[1:] != (columns,):
        raise ValueError(
            f"{type(loss).__name__}.probabilities: expected scores of shape (N, {columns}) for {loss.num_classes} "
            f'categories with background="{loss.background}", found {tuple(probs.shape)}'
        )
    return probs
