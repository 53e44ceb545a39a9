#!/usr/bin/env python
"""Create a dataset from MUSCIMA++ v2.0: tiles of pages for detection, or crops of symbols for classification.

docs/muscima.md describes the data. Examples:

python datasets/prepare_muscima.py datasets/muscima/MUSCIMA-pp_v2.0.zip
python datasets/prepare_muscima.py datasets/muscima/MUSCIMA-pp_v2.0.zip --crops --fold 3
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # find the package without installing it
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from command_line import command, literals, parser_of, refuse_options


def parse_arguments(arguments):
    parser, defaults = parser_of(__doc__), literals("data/muscima/settings.py")
    add = parser.add_argument
    add("source", type=Path, help="archive (zip, tar) of MUSCIMA++ v2.0, or the folder to which it was extracted")
    add("--crops", action="store_true", help="create symbol crops for classification instead of tiles for detection")
    add("--output", type=Path, help="folder of the dataset (default: datasets/muscima/tiles_fold0, crops_fold0, ...)")
    add("--images", type=Path, help="folder of CVC-MUSCIMA's page images (default: draw the pages from the masks)")
    add(
        "--folds",
        type=int,
        help="number of folds. Fold F contains the pages of the writers whose number W has W mod FOLDS = F "
        f"(default: {defaults['Split.folds']})",
    )
    add("--fold", type=int, help=f"fold with the test pages (default: {defaults['Split.fold']})")
    add("--official", action="store_true", help="test on the pages of the published list testset-independent")
    add(
        "--leave-out",
        nargs="*",
        default=list(defaults["LEFT_OUT"]),
        metavar="CLASS",
        help=f"classes to omit from tiles and crops (default: {' '.join(defaults['LEFT_OUT'])})",
    )
    tiles, crops = parser.add_argument_group("tiles"), parser.add_argument_group("crops")
    for group, option, name, kind, meaning in (
        (tiles, "--scale", "TileSettings.scale", float, "factor by which pages are scaled before they are cut"),
        (tiles, "--tile", "TileSettings.tile", int, "side length of a tile in pixels"),
        (tiles, "--overlap", "TileSettings.overlap", int, "overlap of adjacent training tiles in pixels"),
        (tiles, "--visible", "TileSettings.visible", float, "minimum fraction of a symbol in a tile, to annotate it"),
        (crops, "--crop-size", "CropSettings.size", int, "side length of a crop in pixels"),
        (crops, "--context", "CropSettings.context", float, "ratio of the crop's side to the symbol's longer side"),
    ):
        group.add_argument(option, type=kind, help=f"{meaning} (default: {defaults[name]})")
    add("--workers", type=int, help="number of processes (default: one per core)")
    add("--overwrite", action="store_true", help="replace a dataset that was created with other settings")
    return parser.parse_args(arguments)


# Options of tiles, and of crops. Key: option. Value: field of TileSettings or CropSettings that the option sets.
TILE_OPTIONS = {"scale": "scale", "tile": "tile", "overlap": "overlap", "visible": "visible"}
CROP_OPTIONS = {"crop_size": "size", "context": "context"}


def settings_of(args):
    from seesaw_d2.data.muscima import CropSettings, Split, TileSettings

    own, other = (CROP_OPTIONS, TILE_OPTIONS) if args.crops else (TILE_OPTIONS, CROP_OPTIONS)
    refuse_options(args, other, "without --crops" if args.crops else "with --crops")
    if args.official:
        refuse_options(args, ("folds", "fold"), "without --official")
    given = {field: getattr(args, name) for name, field in own.items() if getattr(args, name) is not None}
    fold = {name: getattr(args, name) for name in ("folds", "fold") if getattr(args, name) is not None}
    split = Split(official=args.official, **fold)
    left_out = tuple(sorted(set(args.leave_out)))
    return (CropSettings if args.crops else TileSettings)(split=split, left_out=left_out, **given)


def show_progress(items, total: int, what: str):
    from tqdm import tqdm

    return tqdm(items, total=total, desc=what, unit="page", leave=False, disable=None)


@command
def main(arguments=None) -> None:
    args = parse_arguments(arguments)
    from seesaw_d2.data.muscima import prepare_crops, prepare_tiles
    from seesaw_d2.data.muscima.lvis import CITATION, LICENSE, LICENSE_URL

    settings = settings_of(args)
    kind, prepare = ("crops", prepare_crops) if args.crops else ("tiles", prepare_tiles)
    root = args.output or Path("datasets/muscima") / f"{kind}_{settings.split.name}"
    options = {"images": args.images, "workers": args.workers, "overwrite": args.overwrite, "progress": show_progress}
    print(f"MUSCIMA++ v2.0, license {LICENSE}: {LICENSE_URL}\ncite {CITATION}")
    done = prepare(args.source, root, settings, **options)
    print(f"{done.root}: {'created' if done.made else 'exists already, nothing was changed'}")
    for part, counts in done.counts.items():
        print(f"  {part:5} " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))
    for note in done.notes:
        print(f"  {note}")


if __name__ == "__main__":
    sys.exit(main())
