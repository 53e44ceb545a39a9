"""LOCE's equilibrium loss (Feng et al., ICCV 2021), number by number (github fcjian/LOCE)."""

import math


def softmax(logits: list[float]) -> list[float]:
    largest = max(logits)
    exps = [math.exp(z - largest) for z in logits]
    return [e / sum(exps) for e in exps]


def update(
    means: list[float], logits: list[list[float]], images: list[tuple[list[int], list[int]]], memory: list[int],
    rois_per_image: int, alpha: float,
) -> list[float]:  # fmt: skip
    """Return the mean scores after a batch.

    Args:
        means: (C + 1,).
        logits: of all rows: ``rois_per_image`` of each image, positives first, then those of the memory.
        images: labels of the ground-truth boxes, and the box of each positive row.
        memory: labels of the last rows.
    """
    entries: dict[int, list[float]] = {}
    for index, (labels, assigned) in enumerate(images):
        for box, label in enumerate(labels):
            rows = [index * rois_per_image + place for place, of in enumerate(assigned) if of == box]
            if rows:
                found = [softmax(logits[row])[label] for row in rows]
                entries.setdefault(label, []).append(sum(found) / len(found))
    first = len(logits) - len(memory)
    for label in sorted(set(memory)):
        found = [softmax(logits[first + place])[label] for place, of in enumerate(memory) if of == label]
        entries.setdefault(label, []).append(sum(found) / len(found))
    result = list(means)
    for label, found in entries.items():
        kept = alpha ** len(found)
        result[label] = kept * means[label] + (1 - kept) * sum(found) / len(found)
    return result
