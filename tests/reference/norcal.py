"""NorCal (Pan et al., NeurIPS 2021), number by number, with the variants of github tydpan/NorCal."""

import math


def factors(image_counts: list[int], gamma: float, method: str = "gamma") -> list[float]:
    """Return the factor of each category: n^-γ, or (1 - γ) / (1 - γ^n) of "cb"."""
    if method == "cb":
        return [(1 - gamma) / (1 - gamma**n) for n in image_counts]
    return [1 / n**gamma for n in image_counts]


def softmax(logits: list[float]) -> list[float]:
    exps = [math.exp(z) for z in logits]
    return [e / sum(exps) for e in exps]


def norcal(logits: list[float], scale: list[float], mode: str, normalize: bool = True) -> list[float]:
    """Return the scores of a proposal, background last, for factors of the categories; background has factor 1.

    Args:
        mode: "exps" scales exp(z), "probs" the softmax, "logits" z itself.
        normalize: divide by the sum.
    """
    scale = [*scale, 1.0]
    if mode == "logits":
        scores = softmax([z * a for z, a in zip(logits, scale, strict=True)])
    else:
        values = softmax(logits) if mode == "probs" else [math.exp(z) for z in logits]
        scores = [value * a for value, a in zip(values, scale, strict=True)]
    return [score / sum(scores) for score in scores] if normalize else scores
