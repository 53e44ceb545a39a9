#!/usr/bin/env python
r"""Convert a checkpoint of MMDetection 2 or 3, such as its Seesaw Loss models, into this project's.

    python tools/convert_mmdet_checkpoint.py \
        mask_rcnn_r50_fpn_random_seesaw_loss_mstrain_2x_lvis_v1-a698dd3d.pth output/r50.pth
    python tools/convert_mmdet_checkpoint.py epoch_24.pth output/mine.pth --mask normed
    python tools/convert_mmdet_checkpoint.py epoch_24.pth output/mine.pth --config-file my.yaml

What it is the model of is found out from the file, and the command that evaluates it is printed, with the AP that was
published for it. No code in the file is run. docs/published-models.md says more.
"""

import argparse
import shlex
import sys

from command_line import command, parser_of, train_net


@command
def main(arguments=None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", help="MMDetection's .pth file")
    parser.add_argument("output", help="the .pth file to write")
    parser.add_argument("--config-file", help="this project's config of the model; default: found out")
    parser.add_argument("--mask", choices=("normed", "plain"), help="mask prediction, where the file does not tell")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE ... on top of the config")
    args = parser.parse_args(arguments)
    from seesaw_d2.utils.messages import first_few
    from seesaw_d2.weights.converters import convert_mmdet_file

    done = convert_mmdet_file(
        args.checkpoint,
        args.output,
        config_file=args.config_file,
        overrides=args.opts,
        normed_mask=None if args.mask is None else args.mask == "normed",
        overwrite=args.overwrite,
    )
    print(f"{done.written} tensors written to {args.output}, as {done.config} has them")
    if done.unrecognised:
        print(f"not recognised, and left behind: {first_few(done.unrecognised, limit=10)}")
    for note in done.notes:
        print(note)
    if done.carried:
        print(f"carried over from the checkpoint's config: {shlex.join(done.carried)}")
    print_evaluation(done, args.output)


def print_evaluation(done, output: str) -> None:
    """The command that evaluates what was written, and what is to be expected of it."""
    import torch  # not above: --help is not to wait for it

    if done.device.startswith("cuda") and not torch.cuda.is_available():
        print("PyTorch finds no GPU here; to evaluate on the CPU add MODEL.DEVICE cpu to this command:")
    words = ["python", train_net(), "--config-file", done.config, "--eval-only", "MODEL.WEIGHTS", output]
    print(shlex.join([*words, *done.overrides]))
    if done.model is None:
        return
    if done.model.is_lvis_v05:
        print("It has LVIS v0.5's categories, whose data the config names; MMDetection has published none")
    elif not done.model.is_lvis:
        print("It has not LVIS v1's categories: name its data in DATASETS.REGISTER and DATASETS.TEST")
    elif done.model.sampler is None:
        print("Whether it was trained with repeat factors, and so what was published for it, the file does not say")
    elif done.carried:
        print("It is not as MMDetection has published it, whose AP is therefore not to be expected")
    elif done.model.is_published:
        from paper_tables import read_tables

        box, mask = next(row.published for row in read_tables()["zoo"] if row.config == done.model.config)
        print(f"published for this model on LVIS v1 val: box AP {box}, mask AP {mask}")


if __name__ == "__main__":
    sys.exit(main())
