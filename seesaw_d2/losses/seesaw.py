"""Define Seesaw Loss, a cross-entropy that balances the positive and negative gradients of each category.

Source: Seesaw Loss for Long-Tailed Instance Segmentation (Wang et al., CVPR 2021, arXiv 2008.10032).

Shapes: N proposals, C foreground categories. Label C is background.
"""

import math
import os
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from seesaw_d2.losses.argument_checks import Description, InvalidArgument
from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import known_statistics
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.cross_entropy import CrossEntropyLoss
from seesaw_d2.losses.recorded_counts import read_recorded_counts
from seesaw_d2.losses.seesaw_cpu import SeesawRows, fits
from seesaw_d2.utils.distributed import all_reduce_sum

_UNKNOWN = "unknown"  # if the counts cannot be read, the argument ``class_counts`` is this text, or begins with it

# ``SeesawRows`` computes the results of these methods. If a subclass replaces one of them, ``SeesawRows`` is not used.
_FUSED = ("row_losses", "adjusted_logits", "log_factors", "_log_mitigation", "_log_compensation")


@LOSS_REGISTRY.register()
class SeesawLoss(CrossEntropyLoss):
    """Cross-entropy that balances the gradients of positive and negative samples of each category (equations 4 to 8).

    The factor S_ij scales the gradient of a sample of category i with respect to the logit z_j of category j:

    L = -log(e^{z_i} / (Σ_{j≠i} S_ij e^{z_j} + e^{z_i})),   S_ij = M_ij C_ij,
    mitigation    M_ij = min(1, N_j / N_i)^p              reduces the gradient from frequent i to rare j,
    compensation  C_ij = max(1, σ_j / max(σ_i, eps))^q    increases the gradient where j is predicted instead of i.

    N_j is the count of category j in the buffer ``class_counts``, at least 1. σ is the softmax of z. S is detached from
    the graph. L equals the cross-entropy of z_j + log S_ij, which is computed in log space to avoid overflow. On a CPU,
    ``SeesawRows`` computes the same loss with fewer exponentials.

    Reference: mmdet 3.3.0, mmdet/models/losses/seesaw_loss.py. As in the reference, proposal weights do not affect the
    counts, and the counts are updated with a batch before the loss of the batch is computed. Differences from the
    reference:

    - The counts are int64 and include the proposals of all processes. In the reference, each process has its own
      float32 counts, and checkpoints contain only the counts of rank 0.
    - By default, the class loss and the objectness loss are divided by the number of proposals with a positive weight.
      The reference divides the class loss by the number of foreground proposals.
    - ``avg_factor`` is used unchanged. The reference adds 1.2e-7.

    Args:
        num_classes: number of categories C, >= 1.
        p: >= 0, exponent of the mitigation factor. With 0, the factor is 1.
        q: >= 0, exponent of the compensation factor. With 0, the factor is 1.
        eps: in (0, 1], lower bound of σ_i in the compensation factor.
        background: "objectness" (default, section 3.3), "class" or "none". See ``ClassificationLoss``.
        class_counts: fixed integer counts >= 0 (Table 4), (C,), or (C + 1,) with background last. Neither training nor
            loading a checkpoint changes fixed counts. If the count of background is missing, the largest count of a
            category replaces it. If None (default), the loss counts the proposals during training. If "unknown", the
            loss supports only inference, and keeps the counts of a loaded checkpoint. A reason can follow "unknown: ".
        sync: whether to count the batches of all processes. If False, each process counts only its own batches. In this
            case, pass ``broadcast_buffers=False`` to DDP, which otherwise copies the counts of the first process.

    Buffers:
        class_counts: int64, (C + 1,) with background last, or (C,) with background "none".
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("objectness", "class", "none")
    config_keys: ClassVar[dict[str, str]] = {
        "p": "SEESAW.P",
        "q": "SEESAW.Q",
        "eps": "SEESAW.EPS",
        "class_counts": "SEESAW.CLASS_COUNTS",
    }
    class_counts: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        p: float = 0.8,
        q: float = 2.0,
        eps: float = 1e-2,
        background: str = "objectness",
        class_counts: Sequence[int] | Tensor | str | None = None,
        sync: bool = True,
    ):
        super().__init__(num_classes, background=background)
        self.p = check_number("p", p, "a number >= 0", lambda value: value >= 0)
        self.q = check_number("q", q, "a number >= 0", lambda value: value >= 0)
        self.eps = check_number("eps", eps, "a number in (0, 1]", lambda value: 0 < value <= 1)
        self.sync = sync
        self.online = class_counts is None
        is_unknown = isinstance(class_counts, str) and class_counts.partition(":")[0] == _UNKNOWN
        self.unknown = class_counts if is_unknown else ""
        if self.online or self.unknown:
            counts = torch.zeros(self.num_label_values, dtype=torch.int64)
        else:
            counts = self._given_counts(class_counts)
        self.register_buffer("class_counts", counts)

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"p": (0.4, 0.8, 1.2), "q": (0.0, 2.0)}

    @classmethod
    def config_arguments(cls, node, statistics):
        arguments = super().config_arguments(node, statistics)
        source = arguments.pop("class_counts")
        if source == "online":
            return arguments
        if source != "dataset":
            if os.path.isfile(source):
                return {**arguments, "class_counts": read_recorded_counts(source)}
            if not os.path.splitext(source)[1]:  # a misspelt "online" or "dataset" instead of the path of a JSON file
                raise InvalidArgument("class_counts", '"online", "dataset" or the path of an existing file', source)
            return {**arguments, "class_counts": f"{_UNKNOWN}: {source}: no such file"}  # inference needs no counts
        if statistics is None:
            advice = "The loss cannot count the instances of the training set, because the training set is unavailable."
            raise InvalidArgument("class_counts", '"online" or the path of a file', source, advice)
        known = known_statistics(statistics)  # None if the annotations cannot be read, which inference does not need
        return {**arguments, "class_counts": _UNKNOWN if known is None else known.instance_count.tolist()}

    def update_statistics(self, logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> None:
        """Add the number of labels of each class in the batch to ``class_counts``. Fixed counts do not change."""
        if self.unknown:
            advice = (
                "With SEESAW.CLASS_COUNTS dataset, check that the datasets in DATASETS.TRAIN are registered and that "
                "their annotations can be read."
            )
            raise InvalidArgument("class_counts", "counts of the training set for training", self.unknown, advice)
        if not self.online:
            return
        # On CUDA, torch.bincount would synchronize host and device, because its output size depends on the labels.
        batch = torch.zeros_like(self.class_counts).scatter_add_(0, labels, torch.ones_like(labels))
        self.class_counts += all_reduce_sum(batch) if self.sync else batch

    def row_losses(self, logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        if targets is None and self._is_fused and self._gathers_rows(logits.device):
            return self._fused(logits, None, labels, logits.shape[1])[0]
        return super().row_losses(logits, labels, targets)

    def _gathered(self, logits, labels, weights, targets, is_background):
        if targets is not None or not self._is_fused:
            return super()._gathered(logits, labels, weights, targets, is_background)
        rows = (~is_background).nonzero().squeeze(1)
        chosen = None if len(rows) == len(labels) else rows
        losses, objectness = self._fused(logits, chosen, labels[rows], self.num_classes)
        return losses, None if weights is None else weights[rows], objectness

    @property
    def _is_fused(self) -> bool:
        replaced = any(getattr(type(self), name) is not getattr(SeesawLoss, name) for name in _FUSED)
        return not replaced and (self.p > 0 or self.q > 0) and fits(self.p, self.q, self.eps)

    def _fused(self, logits: Tensor, rows: Tensor | None, labels: Tensor, width: int) -> tuple[Tensor, Tensor]:
        return SeesawRows.apply(logits, rows, labels, self._counts(width, logits.dtype), self.p, self.q, self.eps)

    def adjusted_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the logits z_j + log S_ij of each sample with label i, where S_ij are the factors of Seesaw Loss.

        ``logits`` and the result have the shape (samples, classes).
        """
        if self.p == 0 and self.q == 0:
            return logits
        return logits + self.log_factors(logits.detach(), labels)

    @torch.no_grad()
    def log_factors(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return log S_ij for each sample with label i and each class j, in the shape of ``logits``. log S_ii is 0.

        S_ij is the product of the mitigation factor and the compensation factor of Seesaw Loss. On a CPU,
        ``SeesawRows`` computes the same factors. Apply each change of this method to ``SeesawRows``, too.
        """
        factors = torch.zeros_like(logits) if self.q == 0 else self._log_compensation(logits, labels)
        if self.p > 0:
            factors += self._log_mitigation(labels, logits.shape[1], logits.dtype)
        return factors

    def _counts(self, width: int, dtype: torch.dtype) -> Tensor:
        """Return the counts of the first ``width`` classes, clamped to at least 1, in the given dtype."""
        return self.class_counts[:width].clamp(min=1).to(dtype)

    def _log_mitigation(self, labels: Tensor, width: int, dtype: torch.dtype) -> Tensor:
        """Return the log mitigation factors p min(0, log N_j - log N_i) of each label i, (len(labels), width).

        N_j is the count of each of the first ``width`` classes j. ``dtype`` is the dtype of the result.
        """
        log_counts = self._counts(width, dtype).log() * self.p
        return (log_counts - log_counts[labels].unsqueeze(1)).clamp_(max=0)

    def _log_compensation(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the log compensation factors q max(0, log σ_j - log max(σ_i, eps)), in the shape of ``logits``.

        σ is the softmax of a row of ``logits``, i is the label of this row, and j is the column.
        """
        log_probs = F.log_softmax(logits, dim=1)
        own = log_probs.gather(1, labels.unsqueeze(1)).clamp_(min=math.log(self.eps))
        return log_probs.sub_(own).clamp_(min=0).mul_(self.q)

    def _given_counts(self, class_counts) -> Tensor:
        shapes = sorted({(self.num_classes,), (self.num_label_values,)})
        expected = f"integers >= 0 of shape {' or '.join(map(str, shapes))}"
        try:
            counts = torch.as_tensor(class_counts)
        except (TypeError, ValueError, RuntimeError):
            raise InvalidArgument("class_counts", expected, class_counts) from None
        if tuple(counts.shape) not in shapes:
            raise InvalidArgument("class_counts", expected, Description(f"numbers of shape {tuple(counts.shape)}"))
        if counts.is_floating_point() or counts.dtype == torch.bool or bool((counts < 0).any()):
            found = Description(f"values of type {counts.dtype}, the smallest of which is {counts.min()}")
            raise InvalidArgument("class_counts", expected, found)
        counts = counts.to(torch.int64, copy=True)
        if len(counts) < self.num_label_values:
            counts = torch.cat([counts, counts.max().reshape(1)])
        return counts

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if not self.online and not self.unknown:  # keep the given counts, not those of the checkpoint
            state_dict[prefix + "class_counts"] = self.class_counts
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        counts = "online" if self.online else self.unknown or "given"
        return f"{super().extra_repr()}, p={self.p}, q={self.q}, eps={self.eps}, class_counts={counts}"
