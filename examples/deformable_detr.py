#!/usr/bin/env python
"""Train Hugging Face transformers' Deformable DETR with EQL on images of squares, without Detectron2.

    pip install 'seesaw_d2[transformers]'
    python deformable_detr.py --iterations 10

Deformable DETR classifies with a sigmoid for each category. Therefore, it supports losses for sigmoids, such as focal
loss, EQL and federated loss. ``use_loss`` replaces the loss. The model is tiny and starts from random weights.
"""

import argparse

import torch
from transformers import DeformableDetrConfig, DeformableDetrForObjectDetection

from seesaw_d2.integrations.transformers import use_loss
from seesaw_d2.losses import EqualizationLoss

SIZE, NUM_CLASSES = 64, 5
FREQUENCY = [0.76, 0.06, 0.06, 0.06, 0.06]  # fraction of the images that contain each category


def squares(count: int, seed: int) -> dict:
    """Return a batch of ``count`` images with one square each. The brightness of a square depends on its category.

    76 % of the squares belong to the first category.
    """
    generator = torch.Generator().manual_seed(seed)
    images = 0.1 * torch.rand(count, 3, SIZE, SIZE, generator=generator)
    labels = []
    for image in images:
        label = torch.randint(0, NUM_CLASSES, (1,), generator=generator) * (torch.rand(1, generator=generator) > 0.7)
        x, y = torch.randint(4, SIZE // 2, (2,), generator=generator).tolist()
        side = SIZE // 3
        image[:, y : y + side, x : x + side] += (label.item() + 1) / NUM_CLASSES
        box = torch.tensor([[x + side / 2, y + side / 2, side, side]]) / SIZE  # center, width, height, relative
        labels.append({"class_labels": label, "boxes": box})
    return {"pixel_values": images, "labels": labels}


def tiny_model() -> DeformableDetrForObjectDetection:
    backbone = {"model_type": "resnet", "embedding_size": 16, "hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1]}
    config = DeformableDetrConfig(
        backbone_config={**backbone, "out_features": ["stage2", "stage3", "stage4"]},
        num_labels=NUM_CLASSES,
        num_queries=10,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        auxiliary_loss=True,
    )
    return DeformableDetrForObjectDetection(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=10, help="number of training iterations (default: 10)")
    iterations = parser.parse_args().iterations
    torch.manual_seed(0)
    loss = EqualizationLoss(NUM_CLASSES, image_frequency=FREQUENCY, lambda_=0.1)
    model = use_loss(tiny_model(), loss).train()
    for classifier in model.class_embed:  # needed only for random weights: start with scores near 0
        classifier.bias.data.copy_(loss.initial_bias())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for iteration in range(iterations):
        found = model(**squares(4, seed=iteration))
        optimizer.zero_grad()
        found.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        print(iteration, f"loss {found.loss.item():.3f}, of which loss_ce {found.loss_dict['loss_ce'].item():.3f}")
    print(model.criterion)


if __name__ == "__main__":
    main()
