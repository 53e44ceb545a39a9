"""Implement Seesaw Loss (equations 1 and 4 to 8) literally, with one loop per index."""

import math

import numpy as np


def softmax(z):
    exponentials = [math.exp(value - max(z)) for value in z]
    return [value / sum(exponentials) for value in exponentials]


def mitigation(counts, i, j, p):
    """Return M_ij (equation 7). Counts of 0 are treated as 1, as in mmdet."""
    n_i, n_j = max(counts[i], 1), max(counts[j], 1)
    return 1.0 if n_i <= n_j else (n_j / n_i) ** p


def compensation(sigma, i, j, q, eps):
    """Return C_ij (equation 8) with mmdet's lower bound on σ_i."""
    ratio = sigma[j] / max(sigma[i], eps)
    return 1.0 if ratio <= 1.0 else ratio**q


def balance(z, i, counts, p, q, eps):
    """Return S_ij for every j (equation 6). It is 1 at j = i."""
    sigma = softmax(z)
    return [1.0 if j == i else mitigation(counts, i, j, p) * compensation(sigma, i, j, q, eps) for j in range(len(z))]


def seesaw(z, i, counts, p, q, eps):
    """Return the loss of one sample (equation 4) and its gradient (equation 5, and its counterpart for the label)."""
    s = balance(z, i, counts, p, q, eps)
    terms = [s[j] * math.exp(z[j] - max(z)) for j in range(len(z))]
    probs = [term / sum(terms) for term in terms]
    gradient = [probs[j] - (1.0 if j == i else 0.0) for j in range(len(z))]
    return -math.log(probs[i]), gradient


def seesaw_objectness(logits, labels, weights, counts, avg_factor, p, q, eps):
    """Return the class loss, the objectness loss and both gradients of logits (N, C + 2) (section 3.3)."""
    num_classes = logits.shape[1] - 2
    loss_classes, loss_objectness = 0.0, 0.0
    grad_classes, grad_objectness = np.zeros_like(logits), np.zeros_like(logits)
    for row, label in enumerate(labels):
        scale = weights[row] / avg_factor
        if label < num_classes:
            z = logits[row, :num_classes].tolist()
            loss, gradient = seesaw(z, label, counts[:num_classes], p, q, eps)
            loss_classes += scale * loss
            grad_classes[row, :num_classes] = scale * np.array(gradient)
        # Entry 0 of the objectness logits is foreground, entry 1 background. S = 1 gives cross-entropy.
        z, target = logits[row, num_classes:].tolist(), int(label == num_classes)
        loss, gradient = seesaw(z, target, [1, 1], 0.0, 0.0, eps)
        loss_objectness += scale * loss
        grad_objectness[row, num_classes:] = scale * np.array(gradient)
    return loss_classes, loss_objectness, grad_classes, grad_objectness
