#!/usr/bin/env python
"""Train Hugging Face transformers' Mask2Former with Seesaw Loss on images of squares, without Detectron2.

    pip install 'seesaw_d2[transformers]'
    python transformers_mask2former.py --iterations 10

Only the line with ``use_loss`` differs from a program without this package. The model is tiny and starts from random
weights. To start from published weights, call ``from_pretrained(..., num_labels=5, ignore_mismatched_sizes=True)``.
"""

import argparse

import torch
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

from seesaw_d2.integrations.transformers import use_loss
from seesaw_d2.losses import SeesawLoss

SIZE, NUM_CLASSES = 64, 5
SWIN = {"model_type": "swin", "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4}


def squares(count: int, seed: int) -> dict:
    """Return a batch of ``count`` images with one square each. The brightness of a square depends on its category.

    Most squares belong to the first category.
    """
    generator = torch.Generator().manual_seed(seed)
    images, masks, labels = [], [], []
    for _ in range(count):
        label = torch.randint(0, NUM_CLASSES, (1,), generator=generator) * (torch.rand(1, generator=generator) > 0.7)
        x, y = torch.randint(4, SIZE // 2, (2,), generator=generator).tolist()
        mask = torch.zeros(1, SIZE, SIZE)
        mask[:, y : y + SIZE // 3, x : x + SIZE // 3] = 1
        noise = 0.1 * torch.rand(3, SIZE, SIZE, generator=generator)
        images.append(mask * (label + 1) / NUM_CLASSES + noise)
        masks.append(mask)
        labels.append(label)
    return {"pixel_values": torch.stack(images), "mask_labels": masks, "class_labels": labels}


def tiny_model() -> Mask2FormerForUniversalSegmentation:
    config = Mask2FormerConfig(
        backbone_config={**SWIN, "out_features": ["stage1", "stage2", "stage3", "stage4"]},
        num_labels=NUM_CLASSES,
        num_queries=10,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        num_attention_heads=2,
        encoder_layers=1,
        decoder_layers=3,
        encoder_feedforward_dim=64,
        dim_feedforward=64,
        train_num_points=256,
    )
    return Mask2FormerForUniversalSegmentation(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=10, help="number of training iterations (default: 10)")
    iterations = parser.parse_args().iterations
    torch.manual_seed(0)
    model = use_loss(tiny_model(), SeesawLoss(NUM_CLASSES, background="class")).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for iteration in range(iterations):
        loss = model(**squares(4, seed=iteration)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        print(iteration, f"loss {loss.item():.3f}")
    print(f"class counts, last the queries without an object: {model.criterion.cls_loss.class_counts.tolist()}")


if __name__ == "__main__":
    main()
