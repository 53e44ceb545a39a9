"""Generate random batches for tests of losses."""

import torch
import torch.nn.functional as F


def random_batch(num_logits, num_classes, num_proposals=12, seed=0):
    """Return logits (N, L), float64 with gradient, and labels (N,) in [0, C]. The last label is background."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(num_proposals, num_logits, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, num_classes + 1, (num_proposals,), generator=generator)
    labels[-1] = num_classes
    return logits.requires_grad_(), labels


def gradient(losses, logits):
    (grad,) = torch.autograd.grad(sum(losses.values()), logits)
    return grad


def assert_is_binary_cross_entropy(loss) -> None:
    """Check that value and gradient are those of binary cross-entropy over C logits, averaged over the proposals."""
    width = loss.num_classes
    logits, labels = random_batch(width, width)
    targets = F.one_hot(labels, width + 1)[:, :width].double()
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(labels)
    losses = loss(logits, labels)
    torch.testing.assert_close(losses["loss_cls"], expected)
    torch.testing.assert_close(gradient(losses, logits), torch.autograd.grad(expected, logits)[0])
