"""Implement Equilibrium Loss literally, with one loop per index."""

import math


def equilibrium(z, label, mean_scores):
    """Return -log(m_y e^{z_y} / Σ_j m_j e^{z_j}) of one sample."""
    terms = [mean_scores[j] * math.exp(z[j]) for j in range(len(z))]
    return -math.log(terms[label] / sum(terms))


def updated_mean_scores(mean_scores, probs, labels, objects, alpha):
    """Return the mean scores after a batch of foreground rows: probabilities, labels and object of each row."""
    updated = list(mean_scores)
    for category in set(labels):
        found = {}
        for row, label, number in zip(probs, labels, objects, strict=True):
            if label == category:
                found.setdefault(number, []).append(row[label])
        means = [sum(scores) / len(scores) for scores in found.values()]
        kept = alpha ** len(means)
        updated[category] = kept * mean_scores[category] + (1 - kept) * sum(means) / len(means)
    return updated
