"""Implement equation 10 of logit adjustment literally, with one loop per index."""

import math


def logit_adjusted(z, label, counts, tau):
    """Return -log(e^{z_y + τ log π_y} / Σ_j e^{z_j + τ log π_j}) of one sample."""
    terms = [math.exp(z[j] + tau * math.log(counts[j] / sum(counts))) for j in range(len(z))]
    return -math.log(terms[label] / sum(terms))
