"""Implement CenterNet2's federated loss for given categories S literally, with one loop per index."""

from tests.reference.balanced_group_softmax import log_softmax
from tests.reference.equalization import binary_cross_entropy


def federated_sigmoid(logits, labels, categories, avg_factor):
    loss = 0.0
    for z, label in zip(logits, labels, strict=True):
        for j in categories:
            loss += binary_cross_entropy(z[j], int(j == label)) / avg_factor
    return loss


def federated_softmax(logits, labels, categories, avg_factor):
    """Return the softmax loss. Background is the last logit and always competes."""
    loss = 0.0
    for z, label in zip(logits, labels, strict=True):
        entries = [*sorted(categories), len(z) - 1]
        loss -= log_softmax([z[j] for j in entries])[entries.index(label)] / avg_factor
    return loss
