"""Implement Pairwise Class Balance literally, and the authors' losses where ours differ from them."""

import math

from tests.reference import seesaw


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def update(confusion, counts, logits, labels, momentum, kind):
    """Return the confusion matrix (lists of lists, [ground truth][prediction]) and the counts after a batch."""
    num_classes = len(confusion)
    confusion, counts = [list(row) for row in confusion], list(counts)
    for i in range(num_classes):
        rows = [z[:num_classes] for z, label in zip(logits, labels, strict=True) if label == i]
        if not rows:
            continue
        probs = [seesaw.softmax(z) if kind == "softmax" else [sigmoid(value) for value in z] for z in rows]
        mean = [sum(row[j] for row in probs) / len(probs) for j in range(num_classes)]
        confusion[i] = [momentum * old + (1 - momentum) * new for old, new in zip(confusion[i], mean, strict=True)]
        if kind == "softmax":
            total = sum(confusion[i])
            confusion[i] = [value / total for value in confusion[i]]
        counts[i] += len(rows)
    return confusion, counts


def fightback(confusion, i, kind):
    """Return the soft label of category i, its column. Raise ZeroDivisionError for a column of zeros (0 / 0)."""
    column = [row[i] for row in confusion]
    if kind == "sigmoid":
        return column
    return [value / sum(column) for value in column]


def mixed(confusion, i, alpha, kind):
    """Return (1 - alpha) onehot(i) + alpha q."""
    soft = fightback(confusion, i, kind)
    return [(1 - alpha) * (j == i) + alpha * soft[j] for j in range(len(soft))]


def cross_entropy(z, target):
    """Return -Σ_j target_j log σ_j."""
    return -sum(share * (value - max(z) - _log_sum(z)) for share, value in zip(target, z, strict=True))


def _log_sum(z):
    return math.log(sum(math.exp(value - max(z)) for value in z))


def entropy(probs):
    """Return -Σ p log p, which the authors subtract from cross-entropy."""
    return -sum(p * math.log(p) for p in probs if p > 0)


def authors_softmax_loss(logits, labels, weights, avg_factor, confusion, alpha):
    """Return the authors' CrossEntropyPCBLoss: weighted hard part over avg_factor, unweighted KL divergence / N."""
    num_classes, hard, soft = len(confusion), 0.0, 0.0
    for z, label, weight in zip(logits, labels, weights, strict=True):
        onehot = [float(j == label) for j in range(num_classes + 1)]
        share = 1 - alpha if label < num_classes else 1
        hard += share * weight * cross_entropy(z, onehot) / avg_factor
        if label < num_classes:
            q = fightback(confusion, label, "softmax")
            soft += (cross_entropy(z, [*q, 0.0]) - entropy(q)) / len(labels)
    return hard + alpha * soft


def softmax_loss(logits, labels, weights, avg_factor, confusion, alpha):
    """Return our loss with a background class: weighted cross-entropy of the mixed labels over avg_factor."""
    num_classes, total = len(confusion), 0.0
    for z, label, weight in zip(logits, labels, weights, strict=True):
        target = [0.0] * num_classes + [1.0]
        if label < num_classes:
            target = [*mixed(confusion, label, alpha, "softmax"), 0.0]
        total += weight * cross_entropy(z, target) / avg_factor
    return total


def seesaw_loss(logits, labels, weights, avg_factor, confusion, alpha, counts, p, q, eps):
    """Return the class part of Seesaw Loss with mixed labels: cross-entropy of z_j + log S_ij."""
    num_classes, total = len(confusion), 0.0
    for z, label, weight in zip(logits, labels, weights, strict=True):
        if label < num_classes:
            z = z[:num_classes]
            factors = seesaw.balance(z, label, counts, p, q, eps)
            z = [value + math.log(factor) for value, factor in zip(z, factors, strict=True)]
            total += weight * cross_entropy(z, mixed(confusion, label, alpha, "softmax")) / avg_factor
    return total
