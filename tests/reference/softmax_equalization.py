"""Implement Softmax Equalization Loss literally, with one loop per index."""

import math


def softmax_equalization(logits, labels, frequency, lambda_, beta, avg_factor):
    """Return the loss and its gradient for the logits. ``beta`` contains the draws, 0 or 1, by image and class."""
    loss, gradient = 0.0, []
    for z, i, draws in zip(logits, labels, beta, strict=True):
        tail = [1 if f < lambda_ else 0 for f in frequency]
        w = [1 - b * t * (1 - (k == i)) for k, (b, t) in enumerate(zip(draws, tail, strict=True))]
        total = sum(w_k * math.exp(z_k) for w_k, z_k in zip(w, z, strict=True))
        loss -= math.log(math.exp(z[i]) / total) / avg_factor
        gradient.append([(w[k] * math.exp(z[k]) / total - (k == i)) / avg_factor for k in range(len(z))])
    return loss, gradient
