"""NorCal (Pan et al., NeurIPS 2021), number by number, with the variants of github tydpan/NorCal."""

import math


def factors(image_counts: list[int], gamma: float, method: str = "gamma") -> list[float]:
    """Return the factor of each category: n^-γ, or (1 - γ) / (1 - γ^n) of "cb"."""
    if method == "cb":
        return [(1 - gamma) / (1 - gamma**n) for n in image_counts]
    return [1 / n**gamma for n in image_counts]


def norcal(logits: list[float], scale: list[float], mode: str, normalize: bool = True) -> list[float]:
    """Return the scores of a proposal, background last, for factors of the categories; background has factor 1."""
    scale = [*scale, 1.0]
    if mode == "logits":
        logits, scale = [z * a for z, a in zip(logits, scale, strict=True)], [1.0] * len(scale)
    largest = max(logits)
    exps = [math.exp(z - largest) for z in logits]
    if mode != "exps" or not normalize:  # "exps" without normalization has the scale of the logits
        exps = [e / sum(exps) for e in exps] if mode != "exps" else [math.exp(z) for z in logits]
    scores = [e * a for e, a in zip(exps, scale, strict=True)]
    return [s / sum(scores) for s in scores] if normalize else scores
