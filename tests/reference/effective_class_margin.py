"""Implement Effective Class-Margins literally, with one loop per index."""

import math


def effective_class_margin(z, label, counts, ratio):
    """Return the loss of one sample with C + 1 logits; the last class is background."""
    n = [*counts, ratio * sum(counts)]
    total, loss = sum(n), 0.0
    for c in range(len(n)):
        alpha = (total - n[c]) / n[c]
        weight = alpha * math.log((1 + alpha) / alpha)
        near, far = n[c] ** 0.25, (total - n[c]) ** 0.25
        positive = math.exp(z[c] - math.log(far / (near + far)))
        negative = math.exp(-z[c] - math.log(near / (near + far)))
        share = (positive if label == c else negative) / (positive + negative)
        loss -= weight * math.log(share)
    return loss
