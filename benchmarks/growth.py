#!/usr/bin/env python
"""Measure how time and memory grow with the number of categories, and the time of collectives of two processes.

    python benchmarks/growth.py
    python benchmarks/growth.py categories --device cuda

"categories" measures forward and backward passes of modules that depend on the number of categories, compared with
Detectron2's modules: Seesaw Loss on 512 proposals, the box predictor with class-specific and class-agnostic boxes, and
the mask head on 32 regions. Memory is the peak memory of tensors, without parameters and inputs.

"processes" measures the time of the collectives in an iteration, with two processes and the backend gloo.

growth_images.py measures the growth with the number of images.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time

import torch
import torch.distributed as dist
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from mask_head import regions, step
from measuring import header, interleaved, peak_memory, ratio, row

from seesaw_d2.losses import LOSS_REGISTRY, CrossEntropyLoss, SeesawLoss
from seesaw_d2.modeling import SeesawBoxPredictor, SelectiveMaskHead

PROPOSALS, REGIONS, WIDTH = 512, 32, 1024
STATISTICS = ("SeesawLoss", "EqualizationLossV2")


def report(num_categories: int, what: str, functions: dict, args) -> None:
    times = interleaved(functions, args.repetitions, args.device)
    first, *_ = functions
    for name, own in times.items():
        megabytes = peak_memory(functions[name], args.device)
        row(
            num_categories,
            what,
            name,
            f"{statistics.median(own) * 1e3:.1f}",
            ratio(own, times[first]),
            f"{megabytes:.0f}",
        )


def box_predictors(num_categories: int, device: str):
    """Return a dict from the name of a box predictor to a function that runs its forward and backward pass.

    The input has 512 proposals, a quarter of which are foreground.
    """
    shape = ShapeSpec(channels=WIDTH)
    common = {"box2box_transform": Box2BoxTransform((10, 10, 5, 5)), "num_classes": num_categories}
    theirs = FastRCNNOutputLayers(shape, **common)
    seesaw = SeesawLoss(num_categories)
    kinds = {
        "Detectron2's": theirs,
        "ours": SeesawBoxPredictor(shape, cls_loss=seesaw, **common),
        "ours, boxes of no class": SeesawBoxPredictor(shape, cls_loss=seesaw, cls_agnostic_bbox_reg=True, **common),
    }
    proposals = Instances((800, 800))
    proposals.proposal_boxes = Boxes(torch.tensor([[10.0, 10, 100, 100]]).repeat(PROPOSALS, 1))
    proposals.gt_boxes = Boxes(torch.tensor([[12.0, 9, 110, 105]]).repeat(PROPOSALS, 1))
    labels = torch.full((PROPOSALS,), num_categories)
    labels[: PROPOSALS // 4] = torch.randint(0, num_categories, (PROPOSALS // 4,))
    proposals.gt_classes = labels
    proposals, features = proposals.to(device), torch.randn(PROPOSALS, WIDTH, device=device)

    def trained(predictor):
        predictor.to(device).train()

        def run():
            predictor.zero_grad(set_to_none=True)
            with EventStorage():
                sum(predictor.losses(predictor(features), [proposals]).values()).backward()

        return run

    return {name: trained(predictor) for name, predictor in kinds.items()}


def losses(num_categories: int, device: str):
    labels = torch.full((PROPOSALS,), num_categories)
    labels[: PROPOSALS // 4] = torch.randint(0, num_categories, (PROPOSALS // 4,))

    def run(loss):
        logits = torch.randn(PROPOSALS, loss.num_logits, device=device, requires_grad=True)
        own = labels.to(device)
        return lambda: sum(loss(logits, own).values()).backward()

    return {
        "cross-entropy": run(CrossEntropyLoss(num_categories).to(device)),
        "Seesaw Loss": run(SeesawLoss(num_categories).to(device)),
    }


def mask_heads(num_categories: int, device: str):
    shape, instances = ShapeSpec(channels=256, height=14, width=14), regions(REGIONS, num_categories, device)
    x = torch.rand(REGIONS, 256, 14, 14, device=device)
    kinds = {"ours": SelectiveMaskHead}
    if num_categories < 5000:  # with more categories, Detectron2's head needs several times 1.3 GB of memory
        kinds = {"Detectron2's": MaskRCNNConvUpsampleHead, **kinds}
    heads = {
        name: kind(shape, num_classes=num_categories, conv_dims=[256, 256]).to(device) for name, kind in kinds.items()
    }
    return {name: lambda head=head: step("train", head, x, instances) for name, head in heads.items()}


def grow_categories(args) -> None:
    header("categories", "what", "which", "ms", "time / first", "peak MB")
    for count in args.categories:
        report(count, "loss", losses(count, args.device), args)
        report(count, "box predictor", box_predictors(count, args.device), args)
        report(count, "mask head", mask_heads(count, args.device), args)


def one_of_two(rank: int, folder: str, categories: list[int], queue) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    comm._LOCAL_PROCESS_GROUP = dist.group.WORLD
    from seesaw_d2.train.step_report import reduced_values

    def timed(function, count=30):
        function()
        dist.barrier()
        start = time.perf_counter()
        for _ in range(count):
            function()
        return (time.perf_counter() - start) / count

    values, finite = torch.rand(6), torch.tensor(True)
    found = [
        (0, "losses, by comm.gather (Detectron2's)", timed(lambda: comm.gather({f"loss_{i}": 0.5 for i in range(6)}))),
        (0, "losses, check and data time, one sum", timed(lambda: reduced_values(values, finite, 0.1))),
    ]
    for num_categories in categories:
        for name in STATISTICS:
            loss = LOSS_REGISTRY.get(name)(num_categories)
            logits, labels = torch.randn(PROPOSALS, loss.num_logits), torch.randint(0, num_categories + 1, (PROPOSALS,))
            for sync in (False, True):
                loss.sync = sync
                update = timed(lambda loss=loss, x=logits, y=labels: loss.update_statistics(x, y))
                found.append((num_categories, f"{name}'s statistics, {'two processes' if sync else 'alone'}", update))
    if rank == 0:
        queue.put(found)
    dist.barrier()
    dist.destroy_process_group()


def grow_processes(args) -> None:
    header("categories", "what", "ms")
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        queue = context.Queue()
        arguments = [(rank, folder, args.categories, queue) for rank in range(2)]
        workers = [context.Process(target=one_of_two, args=each) for each in arguments]
        for worker in workers:
            worker.start()
        for num_categories, what, seconds in queue.get(timeout=300):
            row(num_categories or "-", what, f"{seconds * 1e3:.2f}")
        for worker in workers:
            worker.join()


PARTS = {"categories": grow_categories, "processes": grow_processes}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"parts: {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--categories",
        type=int,
        nargs="+",
        default=[80, 1203, 13204],
        help="numbers of categories (default: 80 1203 13204)",
    )
    parser.add_argument("--repetitions", type=int, default=3, help="number of repetitions (default: 3)")
    parser.add_argument("--device", default="cpu", help='device of the part "categories" (default: cpu)')
    args = parser.parse_args()
    torch.set_num_threads(1)
    for part in args.parts:
        print(f"\n{part}\n")
        PARTS[part](args)


if __name__ == "__main__":
    main()
