#!/usr/bin/env python
r"""Convert a checkpoint of MMDetection 2 or 3 for this project, such as MMDetection's Seesaw Loss models.

    python tools/convert_mmdet_checkpoint.py \
        mask_rcnn_r50_fpn_random_seesaw_loss_mstrain_2x_lvis_v1-a698dd3d.pth output/r50.pth
    python tools/convert_mmdet_checkpoint.py epoch_24.pth output/mine.pth --mask normed
    python tools/convert_mmdet_checkpoint.py epoch_24.pth output/mine.pth --config-file my.yaml

The program detects the config of the model from the checkpoint, and runs no code in the checkpoint. It prints the
command that evaluates the converted model, and the published AP of the model. docs/published-models.md lists the
models.
"""

import argparse
import shlex
import sys

from command_line import command, conversion_parser, train_net


@command
def main(arguments=None) -> None:
    parser = conversion_parser(__doc__, "MMDetection's .pth file")
    parser.add_argument("--config-file", help="this project's config of the model (default: detected from the file)")
    parser.add_argument(
        "--mask", choices=("normed", "plain"), help="type of the mask predictor, if it cannot be detected from the file"
    )
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="config overrides KEY VALUE ...")
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
    print(f"{done.written} tensors written to {args.output} for {done.config}")
    if done.unrecognized:
        print(f"unknown names, not converted: {first_few(done.unrecognized, limit=10)}")
    for note in done.notes:
        print(note)
    if done.carried:
        print(f"overrides from the checkpoint's config: {shlex.join(done.carried)}")
    print_evaluation(done, args.output)


def print_evaluation(done, output: str) -> None:
    """Print the command that evaluates the converted model, and the published AP of the model, if it is known.

    Args:
        done: result of ``convert_mmdet_file``, with the config and the properties of the model.
        output: path of the converted checkpoint.
    """
    import torch  # imported late, to keep --help fast

    if done.device.startswith("cuda") and not torch.cuda.is_available():
        print("PyTorch finds no GPU here. To evaluate on the CPU, add MODEL.DEVICE cpu to this command:")
    words = ["python", train_net(), "--config-file", done.config, "--eval-only", "MODEL.WEIGHTS", output]
    print(shlex.join([*words, *done.overrides]))
    if done.model is None:
        return
    if done.model.is_lvis_v05:
        print("The model has the categories of LVIS v0.5. MMDetection has not published such a model.")
    elif not done.model.is_lvis:
        print("The model does not have the categories of LVIS v1. Set its data in DATASETS.REGISTER and DATASETS.TEST.")
    elif done.model.sampler is None:
        print(
            "The published AP is unknown, because the file does not say whether training used repeat factor sampling."
        )
    elif done.carried:
        print("The published AP does not apply, because the model differs from the published model.")
    elif done.model.is_published:
        from paper_tables import read_tables

        box, mask = next(row.published for row in read_tables()["zoo"] if row.config == done.model.config)
        print(f"published for this model on LVIS v1 val: box AP {box}, mask AP {mask}")


if __name__ == "__main__":
    sys.exit(main())
