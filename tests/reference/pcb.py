"""Pairwise Class Balance, one loop per index, and the authors' losses with the habits that ours does not have."""

import math

from tests.reference import seesaw


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def update(confusion, counts, logits, labels, momentum, kind):
    """The confusion matrix (lists of lists, [ground truth][prediction]) and counts after a batch."""
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
    """The soft label of category i: its column. Raises ZeroDivisionError on a column of zeros, as 0 / 0 is nan."""
    column = [row[i] for row in confusion]
    if kind == "sigmoid":
        return column
    return [value / sum(column) for value in column]


def mixed(confusion, i, alpha, kind):
    """(1 - alpha) onehot(i) + alpha q."""
    soft = fightback(confusion, i, kind)
    return [(1 - alpha) * (j == i) + alpha * soft[j] for j in range(len(soft))]


def cross_entropy(z, target):
    """-Σ_j target_j log σ_j, the target in full."""
    return -sum(share * (value - max(z) - _log_sum(z)) for share, value in zip(target, z, strict=True))


def _log_sum(z):
    return math.log(sum(math.exp(value - max(z)) for value in z))


def entropy(probs):
    """-Σ p log p, which the authors' cross-entropy form subtracts."""
    return -sum(p * math.log(p) for p in probs if p > 0)


def authors_softmax_loss(logits, labels, weights, avg_factor, confusion, alpha):
    """Their CrossEntropyPCBLoss: weights and avg_factor on the hard part; KL divergence / N, unweighted."""
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
    """Ours with a background class: cross-entropy of the mixed label, weighted, over avg_factor."""
    num_classes, total = len(confusion), 0.0
    for z, label, weight in zip(logits, labels, weights, strict=True):
        target = [0.0] * num_classes + [1.0]
        if label < num_classes:
            target = [*mixed(confusion, label, alpha, "softmax"), 0.0]
        total += weight * cross_entropy(z, target) / avg_factor
    return total


def seesaw_loss(logits, labels, weights, avg_factor, confusion, alpha, counts, p, q, eps):
    """The class part of Seesaw Loss with mixed labels: cross-entropy of z_j + log S_ij."""
    num_classes, total = len(confusion), 0.0
    for z, label, weight in zip(logits, labels, weights, strict=True):
        if label < num_classes:
            z = z[:num_classes]
            factors = seesaw.balance(z, label, counts, p, q, eps)
            z = [value + math.log(factor) for value, factor in zip(z, factors, strict=True)]
            total += weight * cross_entropy(z, mixed(confusion, label, alpha, "softmax")) / avg_factor
    return total
