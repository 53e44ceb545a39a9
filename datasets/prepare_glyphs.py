#!/usr/bin/env python
"""Make the glyph data set: 40 long-tailed categories, 1,500 small pictures, LVIS v1 annotations.

Run from the repository's root: ``python datasets/prepare_glyphs.py``. A second run finds the data set and
does nothing. With label maps for semantic segmentation: ``--semantic --root datasets/glyphs_semantic``. For a
benchmark of annotation loading at the size of LVIS:
``--categories 1203 --train-images 100000 --val-images 6000 --annotations-only --root datasets/glyphs_large``.
"""

import argparse
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also without installation
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from command_line import command


def parse_arguments(arguments, default) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--root", default="datasets/glyphs", help="folder of the data set")
    add("--categories", type=int, default=default.num_categories, help="categories, 1 to 1640")
    add("--train-images", type=int, default=default.num_train_images, help="training images")
    add("--val-images", type=int, default=default.num_val_images, help="validation images")
    add("--image-size", type=int, default=default.image_size, help="side of the pictures, pixels")
    add("--max-objects", type=int, default=default.max_objects, help="most objects on a picture")
    add(
        "--max-category-images",
        type=int,
        default=default.max_category_images,
        help="training images of the most frequent category",
    )
    add("--seed", type=int, default=default.seed, help="other seeds give other data")
    add("--workers", type=int, help="processes; one for each core if not given")
    add("--semantic", action="store_true", help="also semantic label maps, in the folder semantic")
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
    from seesaw_d2.data.synthetic import GlyphConfig, make_glyphs
    from seesaw_d2.errors import OutputError

    args = parse_arguments(arguments, GlyphConfig())
    config = GlyphConfig(
        num_categories=args.categories,
        num_train_images=args.train_images,
        num_val_images=args.val_images,
        image_size=args.image_size,
        max_objects=args.max_objects,
        max_category_images=args.max_category_images,
        seed=args.seed,
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
        print("interrupted: nothing was left behind", file=sys.stderr)
        return 130
    print(describe(summary))
    return None


if __name__ == "__main__":
    sys.exit(main())
