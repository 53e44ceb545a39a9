"""Random batches for the tests of single losses."""

import torch


def random_batch(num_logits, num_classes, num_proposals=12, seed=0):
    """Logits (N, L) float64 with a gradient, labels (N,) in [0, C], the last of them background."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(num_proposals, num_logits, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, num_classes + 1, (num_proposals,), generator=generator)
    labels[-1] = num_classes
    return logits.requires_grad_(), labels


def gradient(losses, logits):
    (grad,) = torch.autograd.grad(sum(losses.values()), logits)
    return grad
