"""Implement Inverse Image Frequency literally, with one loop per index."""

import math


def inverse_image_frequency(z, label, weights):
    """Return -log(e^{w_y z_y} / Σ_j e^{w_j z_j}) of one sample."""
    terms = [math.exp(weights[j] * z[j]) for j in range(len(z))]
    return -math.log(terms[label] / sum(terms))
