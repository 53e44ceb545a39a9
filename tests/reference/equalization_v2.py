"""Implement Equalization Loss v2 (equations 3 to 6) literally, with one loop per index."""

import math

from tests.reference.equalization import binary_cross_entropy, sigmoid


class EqualizationV2:
    """Compute the loss of a batch, and then update the accumulated gradients."""

    def __init__(self, num_classes, gamma, mu, alpha):
        self.num_classes, self.gamma, self.mu, self.alpha = num_classes, gamma, mu, alpha
        self.positive, self.negative = [0.0] * num_classes, [0.0] * num_classes

    def weights(self, j):
        """Return q_j and r_j (equations 3 and 4). Both are 1 for background."""
        if j == self.num_classes:
            return 1.0, 1.0
        balanced = self.positive[j] == 0 and self.negative[j] == 0
        g = 100.0 if balanced else self.positive[j] / (self.negative[j] + 1e-10)
        r = 1 / (1 + math.exp(-self.gamma * (g - self.mu)))
        return 1 + self.alpha * (1 - r), r

    def __call__(self, logits, labels, avg_factor):
        """Return the loss and its gradient for the logits (N, C + 1)."""
        weights = [self.weights(j) for j in range(self.num_classes + 1)]
        loss, gradient = 0.0, []
        for z, label in zip(logits, labels, strict=True):
            row = []
            for j, (q, r) in enumerate(weights):
                y = 1 if j == label else 0
                weight = q if y else r
                loss += weight * binary_cross_entropy(z[j], y) / avg_factor
                row.append(weight * (sigmoid(z[j]) - y))
                if j < self.num_classes and y:
                    self.positive[j] += abs(row[-1])
                elif j < self.num_classes:
                    self.negative[j] += abs(row[-1])
            gradient.append([value / avg_factor for value in row])
        return loss, gradient
