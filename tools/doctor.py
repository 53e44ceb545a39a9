#!/usr/bin/env python
"""Check a training job before it starts: environment, config, data, weights, memory and disk.

    python tools/doctor.py --config-file configs/seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml --num-processes 8
    python tools/doctor.py --config-file my.yaml --quick MODEL.WEIGHTS R-50.pkl

The program decodes all images and runs one training step. With --quick, it does not decode the images. The program
writes only the cache of large annotation files, and the downloaded file of MODEL.WEIGHTS. It prints each problem in a
line that begins with FIX. The exit status is 1 if the program finds problems, and 0 otherwise.
"""

import argparse
import os
import sys

from command_line import command, parser_of


@command
def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--config-file", required=True, help="config of the training")
    parser.add_argument(
        "--num-processes", type=int, default=1, help="number of training processes (GPUs) on all machines (default: 1)"
    )
    parser.add_argument("--quick", action="store_true", help="skip decoding all images")
    parser.add_argument(
        "--workers",
        type=int,
        default=min(os.cpu_count() or 1, 16),
        help="number of processes that decode images (default: one per core, at most 16)",
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config overrides KEY VALUE ...")
    args = parser.parse_args(arguments)
    if args.num_processes < 1 or args.workers < 1:
        parser.error(
            f"--num-processes, --workers: expected integers >= 1, found {args.num_processes} and {args.workers}"
        )
    from seesaw_d2.train.preflight.doctor import examine

    to_fix = examine(
        args.config_file, args.opts, num_processes=args.num_processes, quick=args.quick, workers=args.workers
    )
    count = len(to_fix) or "no"
    print(f"\n{count} problem{'' if count == 1 else 's'} to fix")
    return 1 if to_fix else 0


if __name__ == "__main__":
    sys.exit(main())
