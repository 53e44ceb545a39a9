"""Implement Balanced Group Softmax (section 3.3) literally, with one loop per index.

Groups are lists of categories. ``selected[g]`` contains the proposals on which group g is trained.
"""

import math


def log_softmax(z):
    peak = max(z)
    log_sum = peak + math.log(sum(math.exp(value - peak) for value in z))
    return [value - log_sum for value in z]


def bags(classes, others, objectness, labels, groups, selected):
    """Return the sum over groups of the mean loss of the selected proposals, and the mean loss of foreground against
    background."""
    num_classes = len(classes[0])
    total = 0.0
    for g, members in enumerate(groups):
        losses = []
        for n, label in enumerate(labels):
            if not selected[g][n]:
                continue
            log_probs = log_softmax([others[n][g]] + [classes[n][j] for j in members])  # "others" first
            target = 1 + members.index(label) if label in members else 0
            losses.append(-log_probs[target])
        total += sum(losses) / max(len(losses), 1)
    binary = [-log_softmax(objectness[n])[int(label == num_classes)] for n, label in enumerate(labels)]
    return total, sum(binary) / len(binary)


def scores(classes, others, objectness, groups):
    """Return P(j) = P(j in its group) P(foreground), and P(background), of one proposal."""
    foreground, background = (math.exp(value) for value in log_softmax(objectness))
    result = [0.0] * len(classes)
    for g, members in enumerate(groups):
        log_probs = log_softmax([others[g]] + [classes[j] for j in members])
        for place, j in enumerate(members):
            result[j] = math.exp(log_probs[1 + place]) * foreground
    return [*result, background]
