#!/usr/bin/env python
"""Write the class counts that Seesaw Loss accumulated in a training to a file, for another training.

    python tools/record_class_counts.py output/quickstart/model_final.pth output/counts.json
    python train_net.py --config-file ... MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS output/counts.json

The Seesaw Loss paper calls these counts "pre-recorded" (Table 4). For Cascade R-CNN, the file contains the counts of
each stage. For an image classifier, the file contains no count of background.
"""

import sys

from command_line import command, parser_of


@command
def main(arguments=None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", help=".pth file of a model trained with Seesaw Loss")
    parser.add_argument("output", help="JSON file to write, which must not exist")
    args = parser.parse_args(arguments)
    from seesaw_d2.weights.class_counts import record_class_counts

    recorded = record_class_counts(args.checkpoint, args.output)
    for stage, counts in enumerate(recorded.stages):
        if recorded.has_background:
            print(f"stage {stage}: {sum(counts)} proposals of {len(counts)} classes, background {counts[-1]}")
        else:
            print(f"{sum(counts)} images or pixels of {len(counts)} classes")
    print(f"written to {args.output}")


if __name__ == "__main__":
    sys.exit(main())
