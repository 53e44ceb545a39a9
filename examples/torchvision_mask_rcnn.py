#!/usr/bin/env python
"""Train torchvision's Mask R-CNN with Seesaw Loss on images of squares, without Detectron2.

    python torchvision_mask_rcnn.py --iterations 10

``use_loss`` replaces the classifier and its loss. All other parts of the model are torchvision's.
"""

import argparse

import torch
from torch import Tensor, nn
from torchvision.models.detection import maskrcnn_resnet50_fpn

from seesaw_d2.integrations.torchvision import use_loss
from seesaw_d2.losses import SeesawLoss

SIZE = 128


def squares(count: int, num_classes: int, seed: int = 0) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return ``count`` images with one square each, and their targets in torchvision's format.

    The brightness of a square depends on its category. Most squares belong to the first category.
    """
    generator = torch.Generator().manual_seed(seed)
    images, targets = [], []
    for _ in range(count):
        label = int(torch.randint(1, num_classes + 1, (1,), generator=generator).clamp(max=num_classes))
        label = 1 if torch.rand(1, generator=generator) < 0.7 else label
        x, y = torch.randint(4, SIZE // 2, (2,), generator=generator).tolist()
        side = SIZE // 3
        mask = torch.zeros(1, SIZE, SIZE, dtype=torch.uint8)
        mask[:, y : y + side, x : x + side] = 1
        images.append((mask * label / num_classes + 0.1 * torch.rand(3, SIZE, SIZE, generator=generator)).float())
        box = torch.tensor([[x, y, x + side, y + side]], dtype=torch.float32)
        targets.append({"boxes": box, "labels": torch.tensor([label]), "masks": mask})
    return images, targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=10, help="number of training iterations (default: 10)")
    iterations = parser.parse_args().iterations
    torch.manual_seed(0)
    num_classes = 5
    model = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=num_classes + 1, min_size=SIZE, max_size=SIZE
    )
    use_loss(model, SeesawLoss(num_classes)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
    for iteration in range(iterations):
        losses = model(*squares(2, num_classes, seed=iteration))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        print(iteration, {name: round(value.item(), 3) for name, value in losses.items()})
    with torch.no_grad():
        (found,) = model.eval()(squares(1, num_classes, seed=iterations)[0])
    print(f"class counts {model.roi_heads.box_predictor.cls_loss.class_counts.tolist()}")
    print(f"detections in a test image: {len(found['scores'])}")


if __name__ == "__main__":
    main()
