"""Define the base class of classification losses, whose interface the box predictor and the image classifier use."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.argument_checks import InvalidArgument, check_inputs, check_integer, check_losses
from seesaw_d2.losses.argument_checks import check_number as check_number  # for subclasses
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.logit_maps import MapLoss, as_maps
from seesaw_d2.losses.precision import KeepsBufferTypes, widen, without_autocast
from seesaw_d2.losses.recomputation import is_recomputing
from seesaw_d2.utils.declared_keys import lookup

# Maps each value of the argument ``background`` to the number of logits that a loss needs besides one per category.
_BACKGROUND_LOGITS = {"objectness": 2, "class": 1, "implicit": 0, "none": 0}


class ClassificationLoss(KeepsBufferTypes):
    """Base class of all classification losses. A subclass implements three methods:

    - ``compute`` returns the losses of a batch and changes no buffer.
    - ``update_statistics`` updates buffers that accumulate over the training, such as class counts.
    - ``probabilities`` returns the scores for inference.

    Args:
        num_classes: integer C >= 1, number of foreground categories.
        background: how the loss models background. Unless ``num_logits`` is overridden, L is the number of logits.
            "objectness": L = C + 2. The last two logits classify a proposal as foreground or background.
            "class": L = C + 1. Background is an additional class, whose logit is the last one.
            "implicit": L = C. Each logit is a binary classifier. For a background proposal, all targets are 0.
            "none": L = C. Image classification without background, where labels are in [0, C).

    Raises:
        ValueError: ``num_classes`` is not an integer >= 1, or this loss does not support ``background``.
    """

    # Values of the argument ``background`` that the loss supports. The first value is the default.
    backgrounds: ClassVar[tuple[str, ...]] = tuple(_BACKGROUND_LOGITS)
    # Whether ``forward`` calls ``update_statistics`` before (True) or after (False) it computes the loss of a batch.
    updates_first: ClassVar[bool] = True
    # Soft labels that the loss supports: "softmax" (each row sums to 1), "sigmoid" (each value is in [0, 1]) or None.
    # If not None, ``compute`` and ``update_statistics`` have an argument ``targets``, a tensor (proposals, categories)
    # of soft labels, with zeros for background proposals. If ``targets`` is None, the labels are one-hot.
    soft_labels: ClassVar[str | None] = None
    # Whether ``forward`` supports logit maps (images, logits, H, W) for semantic segmentation. The pixels are processed
    # in blocks, so the loss must be a sum over the pixels, and ``update_statistics`` must not use the logits.
    takes_maps: ClassVar[bool] = False
    takes_objects: ClassVar[bool] = False  # whether ``forward`` takes ``objects``, the matched object of each proposal
    # How ``probabilities`` converts logits to scores: "softmax", "sigmoids", or "" for another function.
    scores: ClassVar[str] = ""
    score_options: ClassVar[dict[str, Any]] = {}  # defaults of the attributes that change ``probabilities``
    # Maps constructor arguments to config keys below MODEL.ROI_BOX_HEAD.CLS_LOSS, for example {"p": "SEESAW.P"}.
    config_keys: ClassVar[dict[str, str]] = {}
    # Maps constructor arguments to statistics of the training set: the number "num_images", or the tensors
    # "image_count", "instance_count" (int64) or "image_frequency" (share of the annotated images), with one value for
    # each category. If the training set is unavailable, the arguments are None.
    statistics_keys: ClassVar[dict[str, str]] = {}
    # Config key below CLS_LOSS that must equal CLS_PREDICTOR.TEMPERATURE if the classifier is normalized, or "".
    temperature_key: ClassVar[str] = ""
    # Config keys below CLS_LOSS in epochs, which the trainer converts to iterations: PCB.START_EPOCH to PCB.START_ITER.
    schedule_keys: ClassVar[tuple[str, ...]] = ()

    def __init__(self, num_classes: int, *, background: str):
        super().__init__()
        if background not in self.backgrounds:
            choices = ", ".join(f'"{name}"' for name in self.backgrounds)
            raise InvalidArgument("background", f"one of {choices} for {type(self).__name__}", background)
        self.num_classes = check_integer("num_classes", num_classes, 1)
        self.background = background

    @property
    def num_logits(self) -> int:
        """Return L, the number of classifier outputs that this loss needs."""
        return self.num_classes + _BACKGROUND_LOGITS[self.background]

    @property
    def num_label_values(self) -> int:
        """Return the number of different labels: C categories, and background unless ``background`` is "none"."""
        return self.num_classes + (self.background != "none")

    def initial_bias(self) -> Tensor | None:
        """Return the initial bias of the classifier layer, (num_logits,), or None to initialize the bias with 0."""
        return None

    @classmethod
    def config_arguments(cls, node: Any, statistics: Callable[[], Any] | None) -> dict[str, Any]:
        """Return the constructor arguments that the config node CLS_LOSS defines, except ``background``.

        ``statistics()`` returns the class counts of the training set (see ``build_loss``). The call is slow, because it
        reads all annotations. Most losses declare ``statistics_keys`` instead.
        """
        return {argument: lookup(node, key) for argument, key in cls.config_keys.items()}

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        """Return argument values for ``tools/choose_loss.py`` to compare on a dataset, such as {"p": (0.4, 0.8)}."""
        return {}

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        ignore_index: int | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of a batch. In training mode, also update the statistics of the loss.

        Args:
            logits: (N, L), L logits of N proposals. Half precision is converted to float32, also under autocast. If
                ``takes_maps`` is True and ``background`` is "none" or "class", logits can also be maps (N, L, H, W) of
                N images, in which each pixel is a sample. Maps need no more memory than in ``F.cross_entropy``.
            labels: int64 (N,), or (N, H, W) for maps. Values are in [0, C], where C is background. With background
                "none", values are in [0, C).
            weights: >= 0, with the shape of ``labels``. Default: all weights are 1.
            avg_factor: number > 0 or scalar tensor, divisor of the weighted sum of the losses. Default:
                ``default_avg_factor``, usually the number of samples with a positive weight in this process. The box
                predictor passes the mean over all processes. Pass ``weights.sum()`` to divide as in
                ``F.cross_entropy(weight=...)``. Reading a tensor would synchronize host and device, so it is not
                checked, but clamped to at least 1.2e-7 (the float32 epsilon), so that an empty batch gives no NaN.
            ignore_index: samples with this label have no loss and are not counted. Requires ``takes_maps``.

        Returns:
            dict of scalars whose names begin with loss_cls. Without proposals, the losses and their gradients are 0.

        Raises:
            ValueError: a shape or dtype is wrong, a label is out of range or a weight is negative.
        """
        if logits.dim() > 2 or ignore_index is not None:
            return self._map_losses(logits, labels, weights, avg_factor, ignore_index)
        self.check_width(logits)
        check_inputs(logits, labels, weights, avg_factor, self.num_label_values)
        with without_autocast(logits.device):
            logits = widen(logits)
            if weights is not None:
                weights = weights.to(logits.dtype)
            avg_factor = self._divisor(labels, weights, avg_factor, logits.dtype)
            self._update(logits, labels, before_loss=True)
            losses = self.checked_compute(logits, labels, weights, avg_factor)
            self._update(logits, labels, before_loss=False)
        return losses

    def set_iteration(self, index: int, count: int) -> None:
        """Set the index, in [0, ``count``), of the next ``forward`` call in a training step with ``count`` calls.

        Only heads that classify each proposal several times per training step use this method. By default, each call of
        ``forward`` is a training step of its own.
        """

    def num_averaged(self, labels: Tensor, weights: Tensor | None) -> int | Tensor:
        """Return the number of proposals with a positive weight. By default, the loss is an average over them."""
        return labels.numel() if weights is None else (weights > 0).sum()

    def default_avg_factor(self, labels: Tensor, weights: Tensor | None) -> int | Tensor:
        """Return the default divisor of the summed losses: ``num_averaged(labels, weights)``, but at least 1."""
        count = self.num_averaged(labels, weights)
        return count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1)

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor | None, avg_factor: float | Tensor
    ) -> dict[str, Tensor]:
        """Return scalar losses in float32 or float64. Change no buffers. ``forward`` has checked the arguments."""
        raise NotImplementedError

    def checked_compute(self, *args: Any, maps: bool = False) -> dict[str, Tensor]:
        """Return ``compute(*args)``, and raise ValueError for a wrong result. With ``maps``, allow only "loss_cls"."""
        losses = self.compute(*args)
        check_losses(losses, f"{type(self).__name__}.compute", maps=maps)
        return losses

    def update_statistics(self, logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> None:
        """Update buffers such as class counts. In training mode, ``forward`` calls this method in all processes."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the scores of N proposals, (N, C + 1) for C categories and background. Without background: (N, C)."""
        raise NotImplementedError

    def check_width(self, logits: Tensor, *, maps: bool = False) -> None:
        """Raise ValueError unless the logits have the shape (N, num_logits), or with ``maps`` (N, num_logits, ...)."""
        right = (logits.dim() == 2 or (maps and logits.dim() > 2)) and logits.shape[1] == self.num_logits
        if torch.jit.is_tracing() or right:
            return
        more = self.num_logits - self.num_classes
        raise ValueError(
            f"logits: expected shape (N, {self.num_logits}), found {tuple(logits.shape)}. {type(self).__name__} with "
            f'num_classes={self.num_classes} and background="{self.background}" needs a last layer with '
            f"loss.num_logits = {self.num_logits} outputs{f' (num_classes + {more})' if more else ''}."
        )

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, background={self.background!r}"

    def _map_losses(self, logits, labels, weights, avg_factor, ignore_index) -> dict[str, Tensor]:
        if not self.takes_maps or self.background == "objectness":
            name = f'{type(self).__name__} with background "{self.background}"'
            raise ValueError(
                f"logits: expected shape (N, {self.num_logits}) without ignore_index, found {tuple(logits.shape)} with "
                f"ignore_index {ignore_index}. {name} supports neither logit maps nor ignore_index."
            )
        self.check_width(logits, maps=True)
        check_inputs(logits, labels, weights, avg_factor, self.num_label_values, ignore_index)
        labelled = torch.ones_like(labels, dtype=torch.bool) if ignore_index is None else labels != ignore_index
        kept, kept_weights = labels[labelled], None if weights is None else weights[labelled]
        with without_autocast(logits.device):
            self._update(logits, kept, before_loss=True)
            compute = functools.partial(self.checked_compute, maps=True)
            total = MapLoss.apply(*as_maps(logits, labels, weights, labelled), compute)
            self._update(logits, kept, before_loss=False)
            return {"loss_cls": total / self._divisor(kept, kept_weights, avg_factor, total.dtype)}

    def _divisor(self, labels, weights, avg_factor, dtype: torch.dtype) -> float | Tensor:
        if isinstance(avg_factor, Tensor):
            return avg_factor.to(dtype).clamp(min=torch.finfo(torch.float32).eps)
        return self.default_avg_factor(labels, weights) if avg_factor is None else avg_factor

    def _update(self, logits: Tensor, labels: Tensor, *, before_loss: bool) -> None:
        """Call ``update_statistics`` in training mode, but not if gradient checkpointing repeats the forward pass.

        ``forward`` calls this method before and after the loss is computed. ``updates_first`` selects one of the calls.
        """
        if self.training and before_loss == self.updates_first and not is_recomputing():
            with torch.no_grad():
                self.update_statistics(logits.detach(), labels)


def weighted_sum(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Return the sum of the losses of N samples, (N,), each multiplied by its weight unless ``weights`` is None."""
    return (losses if weights is None else losses * weights).sum()
