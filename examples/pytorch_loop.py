#!/usr/bin/env python
"""Train a classifier of long-tailed points with SeesawLoss in a plain PyTorch loop, without Detectron2.

python pytorch_loop.py
"""

import torch
from torch import nn

from seesaw_d2.integrations.classification import Criterion
from seesaw_d2.losses import SeesawLoss

NUM_CLASSES, FEATURES = 20, 16
# Number of training examples of each class: 500, 360, ..., 1.
COUNTS = [max(int(500 * 0.72**index), 1) for index in range(NUM_CLASSES)]
RARE = [index for index, count in enumerate(COUNTS) if count <= 10]


def points(centers: torch.Tensor, counts, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points (N, FEATURES) around the centers of their classes, and the classes of the points (N,)."""
    labels = torch.repeat_interleave(torch.arange(NUM_CLASSES), torch.tensor(counts))
    noise = torch.randn(len(labels), FEATURES, generator=generator)
    return centers[labels] + 1.2 * noise, labels


def train(loss_function, data, steps: int = 400) -> nn.Module:
    """Train and return a model. ``loss_function(logits, labels)`` returns a scalar."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, NUM_CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    inputs, labels = data
    for _ in range(steps):
        batch = torch.randint(len(labels), (128,))
        optimizer.zero_grad()
        loss_function(model(inputs[batch]), labels[batch]).backward()
        optimizer.step()
    return model


@torch.no_grad()
def accuracy(model: nn.Module, data) -> tuple[float, float]:
    """Return the accuracy in percent on all points, and on classes with at most 10 training examples."""
    inputs, labels = data
    right = model(inputs).argmax(dim=1) == labels
    rare = torch.isin(labels, torch.tensor(RARE))
    return 100 * right.float().mean().item(), 100 * right[rare].float().mean().item()


def main() -> None:
    generator = torch.Generator().manual_seed(1)
    centers = 1.2 * torch.randn(NUM_CLASSES, FEATURES, generator=generator)
    training, test = points(centers, COUNTS, generator), points(centers, [100] * NUM_CLASSES, generator)
    # The loss is a module with a buffer of class counts. Move the loss to the device of the model, and save the loss
    # with the model. The loss updates the counts only in training mode.
    seesaw = SeesawLoss(NUM_CLASSES, background="none")
    for name, loss in {"cross-entropy": nn.CrossEntropyLoss(), "Seesaw Loss": Criterion(seesaw)}.items():
        overall, rare = accuracy(train(loss, training), test)
        print(f"{name}: accuracy {overall:.1f}, rare classes {rare:.1f}")
    print(f"class counts of Seesaw Loss: {seesaw.class_counts.tolist()}")


if __name__ == "__main__":
    main()
