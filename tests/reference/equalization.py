"""Implement Equalization Loss (equations 1 and 3 to 6) literally, with one loop per index."""

import math


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def binary_cross_entropy(z, y):
    """Return -log(p̂) of one category, p̂ = p where y = 1, else 1 - p (equation 1)."""
    return math.log1p(math.exp(-abs(z))) + max(z, 0) - z * y


def equalization(logits, labels, frequency, lambda_, avg_factor):
    """Return the loss and its gradient for the logits (equation 6). Label C is background."""
    num_classes = len(frequency)
    loss, gradient = 0.0, []
    for z, label in zip(logits, labels, strict=True):
        excludes = 1 if label < num_classes else 0  # E(r)
        row = []
        for j in range(num_classes):
            y = 1 if j == label else 0
            tail = 1 if frequency[j] < lambda_ else 0  # T_λ(f_j)
            w = 1 - excludes * tail * (1 - y)  # equation 4
            loss += w * binary_cross_entropy(z[j], y) / avg_factor
            row.append(w * (sigmoid(z[j]) - y) / avg_factor)
        gradient.append(row)
    return loss, gradient
