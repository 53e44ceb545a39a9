"""Implement LDAM with class-balanced weights literally, with one loop per index."""

import math


def ldam(cosines, label, counts, max_margin, scale):
    """Return the loss of one sample, without weight."""
    margins = [1 / count**0.25 for count in counts]
    margins = [margin * max_margin / max(margins) for margin in margins]
    logits = [scale * (cosine - margins[j] * (j == label)) for j, cosine in enumerate(cosines)]
    return -math.log(math.exp(logits[label]) / sum(math.exp(logit) for logit in logits))


def class_balanced_weights(counts, beta):
    """Return weights that are inverse to the effective numbers, with a mean of 1 over the instances."""
    weights = [(1 - beta) / (1 - beta**count) for count in counts]
    mean = sum(weight * count for weight, count in zip(weights, counts, strict=True)) / sum(counts)
    return [weight / mean for weight in weights]
