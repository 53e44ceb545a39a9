#!/usr/bin/env python
"""Create the glyph dataset: 108 long-tailed categories, 1,500 small images, annotations in LVIS v1 format.

Run ``python datasets/prepare_glyphs.py`` in the root folder of the repository. If the dataset exists, the program does
not change it. These options create other datasets:

- ``--alphabet plain --root datasets/glyphs_plain``: 40 characters that are easy to distinguish, with other defaults.
- ``--alphabet plain --semantic --root datasets/glyphs_semantic``: the same 40 characters, with label maps for semantic
  segmentation.
- ``--categories 1203 --train-images 100000 --val-images 6000 --annotations-only --root datasets/glyphs_large``:
  annotations of the size of LVIS without images, to benchmark the loading of annotations.
"""

import argparse
import re
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # find the package without installing it
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from command_line import command, literals

# Options with an integer. Key: option. Value: (field of GlyphConfig that the option sets, description for --help).
NUMBERS = {
    "categories": ("num_categories", "number of categories"),
    "train-images": ("num_train_images", "number of training images"),
    "val-images": ("num_val_images", "number of validation images"),
    "image-size": ("image_size", "side length of the images in pixels"),
    "max-objects": ("max_objects", "maximum number of objects in an image"),
    "max-category-images": ("max_category_images", "number of training images of the most frequent category"),
    "seed": ("seed", "random seed of the dataset"),
}


def parse_arguments(arguments) -> argparse.Namespace:
    """Parse the command line. Omitted options are None, because the default values depend on the alphabet."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="The defaults are those of --alphabet similar. docs/glyphs.md describes both alphabets.",
    )
    add, defaults = parser.add_argument, literals("data/synthetic/config.py")
    alphabet_help = (
        "similar: 108 characters, many of which look alike, as small objects (default). "
        "plain: 40 characters that are easy to distinguish, as larger objects"
    )
    add("--alphabet", choices=("similar", "plain"), default="similar", help=alphabet_help)
    add("--root", default="datasets/glyphs", help="folder of the dataset (default: datasets/glyphs)")
    for option, (name, meaning) in NUMBERS.items():
        add(
            f"--{option}",
            type=int,
            dest=name,
            metavar="N",
            help=f"{meaning} (default: {defaults['GlyphConfig.' + name]})",
        )
    choices, default = defaults["BACKGROUNDS"], defaults["GlyphConfig.background"]
    add(
        "--background",
        choices=choices,
        help=f"textured: color noise and lines. plain: one color (default: {default})",
    )
    add("--workers", type=int, help="number of processes (default: one per core)")
    add("--semantic", action="store_true", help="also write semantic label maps to the folder semantic")
    add("--annotations-only", action="store_true", help="write annotations without images")
    add("--overwrite", action="store_true", help="replace a dataset that was created with other settings")
    return parser.parse_args(arguments)


def show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done:,} of {total:,} images", end=end, file=sys.stderr, flush=True)


def name_options(message: str) -> str:
    """Replace fields of GlyphConfig in an error message by the options that set them."""
    options = {name: f"--{option}" for option, (name, _) in NUMBERS.items()}
    return re.sub(rf"\b({'|'.join(options)})(?=:| =)", lambda field: options[field[0]], message)


def describe(summary) -> str:
    groups = summary.frequencies
    parts = [f"{summary.root}: {'created' if summary.made else 'exists already, nothing was changed'}"]
    parts.append(
        f"{sum(groups.values()):,} categories ({groups['r']} rare, {groups['c']} common, {groups['f']} frequent)"
    )
    parts += [
        f"{split}: {count:,} images with {summary.instances[split]:,} instances"
        for split, count in summary.images.items()
    ]
    parts.append(f"{summary.megabytes:.1f} MB in {summary.seconds:.1f} s")
    return "\n  ".join(parts)


@command
def main(arguments=None) -> int | None:
    # Raise SystemExit at SIGTERM, so that temporary files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args = parse_arguments(arguments)
    from seesaw_d2.data.synthetic import GlyphConfig, make_glyphs, plain_glyphs
    from seesaw_d2.errors import ConfigError, OutputError

    names = [*(name for name, _ in NUMBERS.values()), "background"]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    try:
        config = {"similar": GlyphConfig, "plain": plain_glyphs}[args.alphabet](**given)
    except ConfigError as error:
        raise ConfigError(name_options(str(error))) from error
    try:
        summary = make_glyphs(
            args.root,
            config,
            workers=args.workers,
            images=not args.annotations_only,
            semantic=args.semantic,
            overwrite=args.overwrite,
            progress=show_progress,
        )
    except OSError as error:
        raise OutputError(f"--root {args.root}: {error}") from error
    except KeyboardInterrupt:
        print("interrupted: removed the unfinished files", file=sys.stderr)
        return 130
    print(describe(summary))
    return None


if __name__ == "__main__":
    sys.exit(main())
