"""Implement equation 3 of Balanced Meta-Softmax literally, with one loop per index."""

import math


def balanced_softmax(z, label, counts):
    """Return -log(n_y e^{z_y} / Σ_j n_j e^{z_j}) of one sample."""
    terms = [counts[j] * math.exp(z[j]) for j in range(len(z))]
    return -math.log(terms[label] / sum(terms))
