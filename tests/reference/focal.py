"""Implement focal loss (Lin et al., equation 5) literally, and its class-balanced form (Cui et al., equation 12)."""

import math

from tests.reference.equalization import sigmoid


def focal(logits, labels, gamma, alpha, avg_factor, class_weights=None):
    """Return -Σ_j α_t (1 - p_t)^γ log(p_t) times the weight of the label's category. Label C is background, weight
    1."""
    loss = 0.0
    for z, label in zip(logits, labels, strict=True):
        weight = 1.0 if class_weights is None or label == len(z) else class_weights[label]
        for j, value in enumerate(z):
            p = sigmoid(value)
            p_t = p if j == label else 1 - p
            alpha_t = 1.0 if alpha is None else alpha if j == label else 1 - alpha
            loss -= weight * alpha_t * (1 - p_t) ** gamma * math.log(p_t) / avg_factor
    return loss


def class_balanced_weights(counts, beta, background):
    """Return (1 - β) / (1 - β^n) (equation 8), scaled to a sum of C (section 5).

    With background, which has no n, scale so that the sum of the instances' weights equals their number.
    """
    counts = [max(count, 1) for count in counts]
    weights = [(1 - beta) / (1 - beta**count) for count in counts]
    total = len(counts) / sum(weights)
    if background:
        total = sum(counts) / sum(count * weight for count, weight in zip(counts, weights, strict=True))
    return [weight * total for weight in weights]
