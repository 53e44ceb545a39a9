#!/usr/bin/env python
r"""Create a dataset from the COCO export of a labelling tool, such as Label Studio, CVAT or Roboflow.

docs/own-data.md describes how to train on this dataset. Examples:

    python datasets/prepare_export.py datasets/my_export/result.json --output datasets/my_data
    python datasets/prepare_export.py datasets/my_export/train/_annotations.coco.json \
        --val datasets/my_export/valid/_annotations.coco.json --images datasets/my_export --output datasets/my_data
"""

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # find the package without installing it
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from command_line import command, parser_of, refuse_options

# What it means if a category occurs in no training image, and in no validation image. The program prints these texts
# after the number of such categories, as in "3 without a training image, so ...".
CONSEQUENCES = (
    "training image, so the model cannot learn these categories",
    "validation image, so these categories have no AP",
)


@command
def main(arguments=None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("export", type=Path, help="exported annotation file in the COCO format")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder to which train.json, val.json and dataset.yaml are written"
    )
    parser.add_argument(
        "--images", type=Path, help="folder with the images, in any subfolders (default: the folder of the export)"
    )
    parser.add_argument(
        "--val",
        type=Path,
        help="exported annotation file of the validation images (default: split the images at random)",
    )
    parser.add_argument(
        "--val-share",
        type=float,
        help="without --val: minimum fraction of images for validation (default: 0.2). For a small dataset with many "
        "rare categories, the fraction is larger",
    )
    parser.add_argument("--seed", type=int, help="without --val: seed of the random split (default: 0)")
    parser.add_argument("--skip-bad-images", action="store_true", help="skip missing and unreadable images")
    parser.add_argument(
        "--allow-overlap",
        action="store_true",
        default=None,
        help="accept images of --val that are also training images",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace another dataset in OUTPUT")
    args = parser.parse_args(arguments)
    if args.val:
        refuse_options(args, ("val_share", "seed"), "without --val")
    else:
        refuse_options(args, ("allow_overlap",), "with --val")
    # Hide the warnings of this package, because the program prints the same texts as notes.
    logging.getLogger("seesaw_d2").addHandler(logging.NullHandler())
    from seesaw_d2.data.labelling_tools.prepare_export import prepare_export

    done = prepare_export(
        args.export,
        args.output,
        images=args.images,
        val=args.val,
        val_share=0.2 if args.val_share is None else args.val_share,
        seed=args.seed or 0,
        skip_bad_images=args.skip_bad_images,
        allow_overlap=bool(args.allow_overlap),
        overwrite=args.overwrite,
    )
    for note in done.notes:
        print(f"note       {note}")
    for split, count in done.num_images.items():
        print(f"{split:10} {count} images")
    print(f"categories {len(done.category_images)}")
    for index, consequence in enumerate(CONSEQUENCES):
        names = [name for name, counts in done.category_images.items() if not counts[index]]
        if names:
            print(f"           {len(names)} without a {consequence}: {', '.join(names)}")
    print(f"config     {done.config}")


if __name__ == "__main__":
    sys.exit(main())
