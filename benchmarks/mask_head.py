#!/usr/bin/env python
"""Measure the time and memory of this project's mask heads, compared with Detectron2's mask head.

    python benchmarks/mask_head.py
    python benchmarks/mask_head.py --device cuda --categories 80 1203 13204 --regions 256

Detectron2's head computes the masks of all categories. All heads have four convolutions with 256 channels, a
deconvolution and the last layer, and run on 14 x 14 features. "train" is a forward and backward pass. Times are medians
of interleaved repetitions. On a CPU, the heads use one thread. Memory is the peak memory of tensors, without parameters
and inputs. On a CPU, PyTorch's profiler measures this memory.
"""

import argparse
import functools
import itertools
import statistics
import time

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from measuring import header, peak_memory, row, synchronize

from seesaw_d2.modeling import NormedMaskHead, SelectiveMaskHead

HEADS = {"detectron2": MaskRCNNConvUpsampleHead, "ours": SelectiveMaskHead, "ours, normalized": NormedMaskHead}


def regions(count, num_classes, device):
    instances = Instances((800, 800))
    instances.proposal_boxes = instances.pred_boxes = Boxes(torch.tensor([[0.0, 0, 100, 100]]).repeat(count, 1))
    instances.gt_classes = instances.pred_classes = torch.randint(0, num_classes, (count,))
    instances.gt_masks = BitMasks(torch.rand(count, 112, 112) > 0.5)
    return instances.to(device)


def step(kind, head, x, instances):
    if kind == "inference":
        with torch.no_grad():
            head.eval()(x, [instances])
        return
    head.train().zero_grad(set_to_none=True)
    with EventStorage():
        head(x, [instances])["loss_mask"].backward()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--regions", nargs="+", type=int, default=[32, 256], help="numbers of regions (default: 32 256)"
    )
    parser.add_argument(
        "--categories", nargs="+", type=int, default=[1203], help="numbers of categories (default: 1203)"
    )
    parser.add_argument("--repetitions", type=int, default=5, help="number of repetitions (default: 5)")
    parser.add_argument("--device", default="cpu", help="device (default: cpu)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    shape = ShapeSpec(channels=256, height=14, width=14)
    header("C", "regions", "pass", "head", "s", "peak MB", "time / detectron2", "memory / detectron2")
    for categories, count in itertools.product(args.categories, args.regions):
        instances = regions(count, categories, args.device)
        x = torch.rand(count, 256, 14, 14, device=args.device)
        heads = {
            name: head(shape, num_classes=categories, conv_dims=[256] * 5).to(args.device)
            for name, head in HEADS.items()
        }
        for kind in ("train", "inference"):
            times = {name: [] for name in heads}
            for _ in range(args.repetitions):
                for name, head in heads.items():
                    synchronize(args.device)
                    start = time.perf_counter()
                    step(kind, head, x, instances)
                    synchronize(args.device)
                    times[name].append(time.perf_counter() - start)
            seconds = {name: statistics.median(values) for name, values in times.items()}
            memory = {}
            for name, head in heads.items():
                memory[name] = peak_memory(functools.partial(step, kind, head, x, instances), args.device)
            for name in heads:
                ratios = (values[name] / values["detectron2"] for values in (seconds, memory))
                cells = [f"{seconds[name]:.3g}", f"{memory[name]:.0f}", *(f"{each:.2f}" for each in ratios)]
                row(categories, count, kind, name, *cells)


if __name__ == "__main__":
    main()
