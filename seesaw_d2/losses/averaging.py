"""Average losses over samples with weights, as ``F.cross_entropy(weight=...)`` does."""

import torch
from torch import Tensor


def averaging(weights: Tensor | None) -> tuple[Tensor | None, float | None]:
    """Return the arguments ``weights`` and ``avg_factor`` of a loss with which it computes the weighted mean.

    A divisor ``weights.sum()`` would be wrong for very small weights, because losses clamp a tensor ``avg_factor`` to
    at least 1.2e-7. Instead, the returned weights sum to 1. If all weights are 0, the loss is 0.

    Args:
        weights: (N,), weight of each of N samples, or None for the default weights and divisor of the loss.
    """
    if weights is None:
        return None, None
    weights = weights.to(torch.promote_types(weights.dtype, torch.float32))
    return weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny), 1.0
