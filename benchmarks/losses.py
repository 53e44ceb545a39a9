#!/usr/bin/env python
"""Measure the time of Seesaw Loss, compared with cross-entropy and the algorithm of MMDetection.

    python benchmarks/losses.py
    python benchmarks/losses.py --device cuda
    python benchmarks/losses.py --loss EqualizationLossV2 --categories 1203

--loss selects another loss. The benchmark measures forward and backward passes on 1024 proposals. The labels of the
foreground proposals have a Zipf distribution over the categories, and losses that need category statistics get this
distribution. With Seesaw Loss, all functions get the same logits (1024, C + 2), which include the objectness branch.

"reference" is the algorithm of SeesawLoss in MMDetection 3.3.0, which the function ``reference`` implements. A loop
over the labels in the batch updates the class counts, and the ratios of class counts form a C x C matrix.

Repetitions of the functions are interleaved. Times are medians: of CPU seconds of one thread on a CPU, and of
wall-clock seconds on a GPU. Ratios are medians, followed by the quartiles.
"""

import argparse
import functools
import statistics
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from measuring import header, interleaved, ratio, row

from seesaw_d2 import add_seesaw_config
from seesaw_d2.losses import LOSS_REGISTRY
from seesaw_d2.losses.build import build_loss

P, Q, EPS = 0.8, 2.0, 1e-2


def reference(logits, labels, counts):
    """Return Seesaw Loss as MMDetection computes it.

    Args:
        logits: (N, C + 2), logits of N proposals for C categories, foreground and background.
        labels: (N,) in [0, C], where C is background.
        counts: (C + 1,) float32 class counts, which this function updates in place.
    """
    num_classes = logits.shape[1] - 2
    for label in labels.unique():
        counts[label] += (labels == label).sum()
    foreground = labels < num_classes
    objectness = F.cross_entropy(logits[:, num_classes:], (~foreground).long(), reduction="none").mean()
    scores, targets = logits[foreground, :num_classes], labels[foreground]
    one_hot = F.one_hot(targets, num_classes)
    factors = scores.new_ones(one_hot.shape)
    ratio = counts[None, :-1].clamp(min=1) / counts[:-1, None].clamp(min=1)
    fewer = (ratio < 1).float()
    factors = factors * (ratio.pow(P) * fewer + (1 - fewer))[targets]
    probs = F.softmax(scores.detach(), dim=1)
    ratio = probs / probs[torch.arange(len(probs), device=probs.device), targets][:, None].clamp(min=EPS)
    higher = (ratio > 1).float()
    factors = factors * (ratio.pow(Q) * higher + (1 - higher))
    losses_ = F.cross_entropy(scores + factors.log() * (1 - one_hot), targets, reduction="none")
    return losses_.sum() / len(labels) + objectness


def frequencies(num_classes):
    return 1 / torch.arange(1, num_classes + 1)


def built(name, num_classes):
    """Build the loss ``name`` for categories with a Zipf distribution.

    The most frequent category occurs in 100,000 of 200,000 training images.
    """
    cfg = get_cfg()
    add_seesaw_config(cfg)
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME = name
    cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.MAX_MATRIX_MB = 1e6
    counts = (frequencies(num_classes) * 100_000).ceil().long().numpy()
    known = SimpleNamespace(image_count=counts, instance_count=counts, num_annotated_images=100_000, num_images=200_000)
    has_background = LOSS_REGISTRY.get(name).backgrounds != ("none",)
    return build_loss(cfg, num_classes, lambda: known, has_background=has_background)


def batch(num_classes, num_foreground, device, rows=1024):
    generator = torch.Generator().manual_seed(0)
    frequency = frequencies(num_classes)
    labels = torch.full((rows,), num_classes)
    labels[:num_foreground] = torch.multinomial(frequency, num_foreground, replacement=True, generator=generator)
    return labels[torch.randperm(rows, generator=generator)].to(device)


def contestants(name, num_classes, num_foreground, device):
    """Return a dict from the name of each compared loss to a function that runs its forward and backward pass.

    Args:
        name: name of the measured loss.
        num_classes: number of categories.
        num_foreground: number of foreground proposals in the batch.
        device: device of the tensors.
    """
    loss = built(name, num_classes).to(device)
    # If the loss does not model background, background proposals get the label of the last category.
    labels = batch(loss.num_label_values - 1, num_foreground, device)
    counts = torch.zeros(num_classes + 1, device=device)
    logits = torch.randn(len(labels), loss.num_logits, device=device, requires_grad=True)
    # If the loss has no logit for background, give cross-entropy one more logit.
    width = max(loss.num_logits, loss.num_label_values)
    plain = logits if width == loss.num_logits else torch.randn(len(labels), width, device=device, requires_grad=True)
    functions = {
        "cross-entropy": lambda: F.cross_entropy(plain, labels),
        "ours": lambda: sum(loss(logits, labels).values()),
    }
    if name == "SeesawLoss":
        functions["reference"] = lambda: reference(logits, labels, counts)

    def trained(function):
        logits.grad = plain.grad = None
        function().backward()

    return {each: functools.partial(trained, function) for each, function in functions.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [name for name, _ in LOSS_REGISTRY]
    parser.add_argument("--loss", default="SeesawLoss", choices=names, help="loss to measure (default: SeesawLoss)")
    parser.add_argument(
        "--categories",
        nargs="+",
        type=int,
        default=[80, 1203, 13204],
        help="numbers of categories (default: 80 1203 13204)",
    )
    parser.add_argument(
        "--foreground", nargs="+", type=int, default=[64, 256, 1024], help="foreground proposals (default: 64 256 1024)"
    )
    parser.add_argument("--repetitions", type=int, default=21, help="number of repetitions (default: 21)")
    parser.add_argument("--device", default="cpu", help="device (default: cpu)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    header("C", "foreground", "cross-entropy ms", "ours ms", "reference ms", "ours / cross-entropy", "reference / ours")
    for num_classes in args.categories:
        for num_foreground in args.foreground:
            repetitions = args.repetitions if num_classes < 5000 else max(args.repetitions // 3, 3)
            functions = contestants(args.loss, num_classes, num_foreground, args.device)
            times = interleaved(functions, repetitions, args.device, warm_up=2)
            cells = [f"{statistics.median(own) * 1e3:.2f}" for own in times.values()]
            cells += ["-"] * (3 - len(cells))
            cells.append(ratio(times["ours"], times["cross-entropy"]))
            cells.append(ratio(times["reference"], times["ours"]) if "reference" in times else "-")
            row(num_classes, num_foreground, *cells)


if __name__ == "__main__":
    main()
