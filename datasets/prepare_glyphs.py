#!/usr/bin/env python
"""Make the glyph data set: 108 long-tailed categories, 1,500 small pictures, LVIS v1 annotations.

Run from the repository's root: ``python datasets/prepare_glyphs.py``. A second run finds the data set and
does nothing. The easy data set, 40 characters that are not confused with each other, which has other defaults:
``--alphabet plain --root datasets/glyphs_plain``. With label maps for semantic segmentation:
``--alphabet plain --semantic --root datasets/glyphs_semantic``. For a benchmark of annotation loading at the size of
LVIS: ``--categories 1203 --train-images 100000 --val-images 6000 --annotations-only --root datasets/glyphs_large``.
"""

import argparse
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also without installation
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from command_line import command


def parse_arguments(arguments, defaults) -> argparse.Namespace:
    """Parse the command line. ``defaults`` maps each alphabet to the settings of its data set."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    default = next(iter(defaults.values()))
    alphabet_help = "similar: 108 characters, many of them alike, many small objects; plain: the easy data set"
    add("--alphabet", choices=tuple(defaults), default=default.alphabet, help=alphabet_help)
    chosen, _ = parser.parse_known_args([word for word in arguments if word not in ("-h", "--help")])
    default = defaults[chosen.alphabet]
    add("--root", default="datasets/glyphs", help="folder of the data set")
    add("--categories", type=int, default=default.num_categories, help="categories")
    add("--train-images", type=int, default=default.num_train_images, help="training images")
    add("--val-images", type=int, default=default.num_val_images, help="validation images")
    add("--image-size", type=int, default=default.image_size, help="side of the pictures, pixels")
    add("--max-objects", type=int, default=default.max_objects, help="most objects on a picture")
    add("--background", choices=("textured", "plain"), default=default.background, help="behind the objects")
    add(
        "--max-category-images",
        type=int,
        default=default.max_category_images,
        help="number of training images of the most frequent category",
    )
    add("--seed", type=int, default=default.seed, help="random seed of the data set")
    add("--workers", type=int, help="number of processes; default: one per core")
    add("--semantic", action="store_true", help="also write semantic label maps to the folder semantic")
    add("--annotations-only", action="store_true", help="no pictures")
    add("--overwrite", action="store_true", help="replace a data set made with other settings")
    return parser.parse_args(arguments)


def show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done:,} of {total:,} images", end=end, file=sys.stderr, flush=True)


def describe(summary) -> str:
    groups = summary.frequencies
    parts = [f"{summary.root}: {'made' if summary.made else 'already there, nothing to do'}"]
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
    # SIGTERM cleans up like Ctrl-C
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    from seesaw_d2.data.synthetic import GlyphConfig, make_glyphs, plain_glyphs
    from seesaw_d2.errors import OutputError

    settings = {"similar": GlyphConfig, "plain": plain_glyphs}
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parse_arguments(arguments, {name: default() for name, default in settings.items()})
    config = settings[args.alphabet](
        num_categories=args.categories,
        num_train_images=args.train_images,
        num_val_images=args.val_images,
        image_size=args.image_size,
        max_objects=args.max_objects,
        max_category_images=args.max_category_images,
        seed=args.seed,
        background=args.background,
    )
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
        print("interrupted; no files were left", file=sys.stderr)
        return 130
    print(describe(summary))
    return None


if __name__ == "__main__":
    sys.exit(main())
