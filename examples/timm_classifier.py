#!/usr/bin/env python
"""Train one of timm's classifiers with Seesaw Loss and mixup on long-tailed images, without Detectron2.

    pip install 'seesaw_d2[timm]'
    python timm_classifier.py

``Criterion`` replaces ``nn.CrossEntropyLoss`` and timm's ``SoftTargetCrossEntropy``. In timm's train.py, assign a
``Criterion`` to ``train_loss_fn``. The evaluation does not change, because the scores are the softmax of the logits.
"""

import argparse

import numpy as np
import timm
import torch
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn

from seesaw_d2.integrations.classification import Criterion
from seesaw_d2.losses import SeesawLoss

SIZE, NUM_CLASSES = 32, 10
COUNTS = [max(int(300 * 0.5**index), 2) for index in range(NUM_CLASSES)]  # number of images: 300, 150, ..., 2
RARE = [index for index, count in enumerate(COUNTS) if count <= 10]


def stripes(counts: list[int], seed: int) -> tuple[Tensor, Tensor]:
    """Return noisy images of stripes, (N, 3, SIZE, SIZE), and their classes (N,). The class defines the direction."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(NUM_CLASSES), torch.tensor(counts))
    angle = torch.pi * labels.view(-1, 1, 1) / NUM_CLASSES
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    phase = 6.3 * torch.rand(len(labels), 1, 1, generator=generator)
    images = torch.sin(0.8 * (x * angle.cos() + y * angle.sin()) + phase).unsqueeze(1).expand(-1, 3, -1, -1)
    return images + torch.randn(images.shape, generator=generator), labels


def train(criterion: nn.Module, data: tuple[Tensor, Tensor], epochs: int) -> nn.Module:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (mixup uses the global generator)
    model = timm.create_model("test_vit", img_size=SIZE, num_classes=NUM_CLASSES).train()
    optimizer = create_optimizer_v2(model, opt="adamw", lr=2e-3, weight_decay=0.05)
    scheduler = CosineLRScheduler(optimizer, t_initial=epochs)
    mixup = Mixup(mixup_alpha=0.2, label_smoothing=0.1, num_classes=NUM_CLASSES)
    images, labels = data
    for epoch in range(epochs):
        for batch in torch.randperm(len(labels))[: len(labels) // 32 * 32].split(32):
            inputs, targets = mixup(images[batch], labels[batch])  # soft labels, (32, NUM_CLASSES)
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
        scheduler.step(epoch + 1)
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, data: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Return the accuracy in percent on all images, and on the images of rare classes."""
    right = model(data[0]).argmax(dim=1) == data[1]
    return 100 * right.float().mean().item(), 100 * right[torch.isin(data[1], torch.tensor(RARE))].float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15, help="number of epochs (default: 15)")
    epochs = parser.parse_args().epochs
    training, test = stripes(COUNTS, seed=1), stripes([40] * NUM_CLASSES, seed=2)
    seesaw = SeesawLoss(NUM_CLASSES, background="none")  # has a buffer of class counts. Save it with the model
    for name, criterion in {"cross-entropy": SoftTargetCrossEntropy(), "Seesaw Loss": Criterion(seesaw)}.items():
        overall, rare = accuracy(train(criterion, training, epochs), test)
        print(f"{name}: accuracy {overall:.1f}, rare classes {rare:.1f}")
    print(f"class counts of Seesaw Loss: {seesaw.class_counts.tolist()}")


if __name__ == "__main__":
    main()
