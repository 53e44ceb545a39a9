"""Compute Seesaw Loss from probabilities instead of log-probabilities, which is faster on a CPU.

The results equal those of ``SeesawLoss`` on other devices up to rounding.

Shapes: N proposals, L logits, R selected proposals, K classes of the softmax.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# ``SeesawRows`` processes the logits in blocks of at most this many bytes. The intermediate values of such a block fit
# into the cache of a CPU core.
_BLOCK_BYTES = 2**20
# The logarithm of a probability below this value is computed from the logits, because such a probability is inaccurate
# in float32.
_TINY = 1e-30
# ``SeesawRows`` computes N^p for class counts N up to 2^63, and σ^q for probabilities σ >= eps. Float32 can represent
# these powers if p <= _LARGEST_P and eps^q >= _LEAST_POWER. Otherwise ``SeesawRows`` is not used.
_LARGEST_P = 2.0
_LEAST_POWER = 1e-20


def fits(p: float, q: float, eps: float) -> bool:
    """Return whether float32 can represent the powers that ``SeesawRows`` computes.

    These are powers N^p of class counts N, and powers σ^q of probabilities σ >= eps.
    """
    return p <= _LARGEST_P and eps**q >= _LEAST_POWER


class SeesawRows(torch.autograd.Function):
    """Compute Seesaw Loss, -log(e^{z_i} / Σ_j S_ij e^{z_j}), for selected rows and the first K columns of the logits.

    Here i is the label, z are the logits, and S_ij = min(1, N_j / N_i)^p max(1, σ_j / σ'_i)^q, where N are the class
    counts, σ is the softmax of z, and σ'_i = max(σ_i, eps).

    On a CPU, exponentials dominate the computing time. The cross-entropy of z + log S computes three exponentials of
    each logit: one for log S, one in the forward pass and one in the backward pass. This function computes only one,
    for σ. Let

        w_j = σ_j min(N_j, N_i)^p max(σ_j, σ'_i)^q.

    The w_j are proportional to S_ij e^{z_j}, so the loss is log(Σ_j w_j / w_i), where w_i = σ_i N_i^p σ'_i^q. The
    gradient of z_j is w_j / Σ_k w_k, minus 1 for j = i. Selecting rows and columns in this function avoids copies of
    the logits and of the gradient.

    Args of ``apply``:
        logits: (N, L) float32 or float64, L logits of N proposals.
        rows: (R,) distinct indices of the selected rows, or None for all rows.
        labels: (R,), the label i in [0, K) of each selected row.
        counts: (K,), the counts N >= 1 of K <= L classes, with the dtype of the logits.
        p, q, eps: parameters of S_ij, as in ``SeesawLoss``. ``fits(p, q, eps)`` must be True.

    Returns:
        tuple of the losses of the selected rows, (R,), and the last L - K columns of the logits, (N, L - K).
    """

    @staticmethod
    def forward(ctx, logits: Tensor, rows: Tensor | None, labels: Tensor, counts: Tensor, p, q, eps):
        classes = logits[:, : len(counts)]
        labels = labels.unsqueeze(1)
        powers = counts.pow(p)
        own_powers = powers[labels]
        weights = logits.new_empty(len(labels), len(counts))
        own, total = torch.empty_like(own_powers), torch.empty_like(own_powers)
        for block in _blocks(weights):
            probs = F.softmax(classes[block] if rows is None else classes.index_select(0, rows[block]), dim=1)
            own[block] = probs.gather(1, labels[block])
            torch.minimum(powers, own_powers[block], out=weights[block])
            weights[block].mul_(probs).mul_(probs.clamp_(min=own[block].clamp(min=eps)).pow_(q))
            torch.sum(weights[block], 1, keepdim=True, out=total[block])
        ctx.save_for_backward(weights, total, rows, labels)
        ctx.shape = logits.shape
        log_own = own.log()
        lost = (own < _TINY).squeeze(1).nonzero().squeeze(1)
        if len(lost):
            logits_lost = classes[lost if rows is None else rows[lost]]
            log_own[lost] = F.log_softmax(logits_lost, dim=1).gather(1, labels[lost])
        losses = total.log() - own_powers.log() - own.clamp(min=eps).log() * q - log_own
        return losses.squeeze(1), logits[:, len(counts) :].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, losses_grad: Tensor, others_grad: Tensor):
        weights, total, rows, labels = ctx.saved_tensors
        losses_grad = losses_grad.unsqueeze(1)
        factors = losses_grad / total
        grad = weights.new_empty(ctx.shape) if rows is None else weights.new_zeros(ctx.shape)
        classes = grad[:, : weights.shape[1]]
        if rows is None:
            torch.mul(weights, factors, out=classes)
            classes.scatter_add_(1, labels, -losses_grad)
        else:
            for block in _blocks(weights):
                of_block = weights[block] * factors[block]
                classes.index_copy_(0, rows[block], of_block.scatter_add_(1, labels[block], -losses_grad[block]))
        grad[:, weights.shape[1] :] = others_grad
        return grad, None, None, None, None, None, None


def _blocks(weights: Tensor) -> list[slice]:
    """Return slices that split the rows of the matrix ``weights`` into blocks of at most ``_BLOCK_BYTES`` bytes."""
    size = max(_BLOCK_BYTES // (weights.shape[1] * weights.element_size()), 1)
    return [slice(start, start + size) for start in range(0, len(weights), size)]
