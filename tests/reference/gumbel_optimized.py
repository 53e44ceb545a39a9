"""Implement Gumbel Optimized Loss literally, with one loop per index."""

import math


def gumbel_optimized(z, labels, rare, weighting, random):
    """Return the summed loss of a batch with C logits per row. Label C is background."""
    num_classes = len(rare)
    foreground = [label for label in labels if label < num_classes]
    ratio = sum(rare[label] for label in foreground) / len(foreground) if foreground else math.inf
    total = 0.0
    for i, label in enumerate(labels):
        for j in range(num_classes):
            eta = math.exp(-math.exp(-min(max(z[i][j], -4), 10)))
            if j == label:
                total -= math.log(eta)
                continue
            dropped = weighting == "drop" and (label < num_classes or random[i][j] > ratio)
            dropped = dropped or (weighting == "eql" and label < num_classes)
            if not (rare[j] and dropped):
                total -= math.log(1 - eta)
    return total
