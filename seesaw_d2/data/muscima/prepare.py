"""Convert MUSCIMA++ v2.0 to a detection dataset of tiles in LVIS format, or to a classification dataset of crops.

The same source, settings and library versions give the same bytes with any number of worker processes.
"""

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from seesaw_d2.data.muscima.crops import crop_page
from seesaw_d2.data.muscima.lvis import annotation_file, category_records, count_categories
from seesaw_d2.data.muscima.making import Contents, Prepared, make_once, settings_record
from seesaw_d2.data.muscima.pages import Page
from seesaw_d2.data.muscima.settings import CropSettings, TileSettings
from seesaw_d2.data.muscima.source import Source, read_source
from seesaw_d2.data.muscima.tiles import TilesOfPage, cut_page
from seesaw_d2.utils.messages import first_few
from seesaw_d2.utils.worker_processes import count_workers, worker_map

PARTS = ("train", "test")
# Type of a function like tqdm, which returns the elements of an iterable and displays the progress. Its arguments are
# the iterable, the number of elements and a label.
Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]


def _silent(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    return items


def prepare_tiles(
    source: Path,
    root: Path,
    settings: TileSettings,
    *,
    images: Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress = _silent,
) -> Prepared:
    """Convert MUSCIMA++ to a detection dataset of square tiles.

    If ``root`` contains a dataset with the same settings, only return its summary. The folder ``root`` contains
    ``train.json`` and ``test.json`` in the LVIS v1 format, and ``images/{train,test}/*.png``. The categories are the
    classes in all pages, sorted by name. Therefore the categories do not depend on the split.

    The test annotations omit symbols of categories without a training object, because a model cannot learn these
    categories. In tiles that show such symbols, their categories are in ``not_exhaustive_category_ids``.

    Args:
        source: archive or folder of MUSCIMA++ v2.0.
        root: folder of the dataset. The folder appears only when all files are complete.
        settings: settings of the tiles, and the split into training and test pages.
        images: folder of CVC-MUSCIMA's scanned page images. If None, draw the pages from the masks of the symbols.
        workers: number of worker processes. If None, use one per core.
        overwrite: if True, replace a dataset with other settings.
        progress: function that wraps an iterable to display progress, such as tqdm. The arguments are the iterable, its
            length, and a label.

    Raises:
        ConfigError: ``source`` does not exist, or ``images`` does not exist or contains no page image.
        DataError: a file is missing or invalid, ``root`` contains files other than a dataset made of MUSCIMA++, or
            ``root`` contains a dataset with other settings and ``overwrite`` is False.
    """
    count = count_workers(workers)
    data = read_source(source, images, settings.split)
    ids = {name: index for index, name in enumerate(data.categories(settings.left_out), start=1)}
    parts = data.parts(settings.split)

    def fill(folder: Path) -> tuple[Contents, list[str]]:
        cut = functools.partial(_cut_part, data, folder, settings, count, progress)
        found = {"train": cut(parts["train"], ids, "train")}
        counts = count_categories((tile for page in found["train"] for tile in page.tiles), ids.values())
        learnable = {name: identity for name, identity in ids.items() if counts[identity][1]}
        omitted = frozenset(ids.values()) - frozenset(learnable.values())
        found["test"] = cut(parts["test"], ids, "test", omitted=omitted)
        _write_annotations(folder, found, category_records(ids, counts), data, settings)
        return _tile_counts(found, parts), _tile_notes(found, [name for name in ids if name not in learnable])

    return make_once(Path(os.path.realpath(root)), settings_record("tiles", settings, data), fill, overwrite)


def prepare_crops(
    source: Path,
    root: Path,
    settings: CropSettings,
    *,
    images: Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress = _silent,
) -> Prepared:
    """Convert MUSCIMA++ to a classification dataset, in which each image is the crop of one symbol.

    The folder ``root`` contains ``train.npz`` and ``test.npz``, each with the arrays ``images`` (N, S, S), ``labels``
    (N,) and ``names`` (C,), for N crops of S x S pixels and C classes. ``prepare_tiles`` describes the other arguments,
    the errors, and which classes the dataset contains.

    Args:
        settings: size of the crops, and the split into training and test pages.
    """
    count = count_workers(workers)
    data = read_source(source, images, settings.split)
    names = data.categories(settings.left_out)
    parts = data.parts(settings.split)

    def fill(folder: Path) -> tuple[Contents, list[str]]:
        counts, learnable = {}, set(names)
        for part in PARTS:
            crops, categories = _crop_part(data, parts[part], settings, count, progress, part)
            if part == "train":
                learnable = set(categories)
            chosen = np.array([category in learnable for category in categories], dtype=bool)
            labels = np.array([names.index(category) for category in categories], dtype=np.int64)
            np.savez_compressed(folder / f"{part}.npz", images=crops[chosen], labels=labels[chosen], names=names)
            counts[part] = {"pages": len(parts[part]), "crops": int(chosen.sum())}
        return counts, _untrained([name for name in names if name not in learnable])

    return make_once(Path(os.path.realpath(root)), settings_record("crops", settings, data), fill, overwrite)


def _crop_part(data: Source, pages, settings: CropSettings, workers: int, progress: Progress, part: str):
    """Crop the symbols of pages in worker processes. ``part``, "train" or "test", is the label of the progress bar.

    Returns:
        the N crops as a uint8 array (N, side, side), and a list with the class name of each crop.
    """
    crop = functools.partial(crop_page, settings=settings)
    with worker_map(workers) as mapped:
        found = list(progress(mapped(crop, pages, map(data.image_of, pages)), len(pages), part))
    return np.concatenate([crops for crops, _ in found]), [name for _, names in found for name in names]


def _cut_part(
    data,
    folder: Path,
    settings,
    workers: int,
    progress: Progress,
    pages,
    ids,
    part: str,
    omitted: frozenset[int] = frozenset(),
):
    """Cut pages into tiles in worker processes, and write the images of the tiles.

    Args:
        data: pages and page images of MUSCIMA++.
        folder: folder of the dataset.
        settings: settings of the tiles.
        workers: number of worker processes.
        progress: function that wraps an iterable to display progress.
        pages: the training or test pages.
        ids: category ids by category name.
        part: "train" or "test".
        omitted: ids of categories whose symbols are not annotated.

    Returns:
        the tiles of each page, a list of ``TilesOfPage``.
    """
    target = folder / "images" / part
    target.mkdir(parents=True)
    cut = functools.partial(
        cut_page, folder=target, ids=ids, settings=settings, is_train=part == "train", omitted=omitted
    )
    with worker_map(workers) as mapped:
        return list(progress(mapped(cut, pages, map(data.image_of, pages)), len(pages), part))


def _write_annotations(folder: Path, found, categories, data: Source, settings: TileSettings) -> None:
    first_image = 1
    for part, pages in found.items():
        tiles = [tile for page in pages for tile in page.tiles]
        content = annotation_file(tiles, categories, part, settings.tile, data.pictures, first_image)
        (folder / f"{part}.json").write_bytes(orjson.dumps(content))
        first_image += len(tiles)


def _tile_counts(found: dict[str, list[TilesOfPage]], parts: dict[str, list[Page]]) -> Contents:
    counts = {}
    for part, pages in found.items():
        tiles = [tile for page in pages for tile in page.tiles]
        objects = sum(len(tile.annotations) for tile in tiles)
        counts[part] = {"pages": len(parts[part]), "tiles": len(tiles), "objects": objects}
    return counts


def _tile_notes(found: dict[str, list[TilesOfPage]], untrained: list[str]) -> list[str]:
    pages = [page for part in found.values() for page in part]
    notes = _untrained(untrained)
    for what, number in (
        ("copies of another symbol (same class, box and mask)", sum(page.copies for page in pages)),
        ("symbols with an empty mask", sum(page.empty for page in pages)),
    ):
        if number:
            notes.append(f"omitted {number} {what}")
    return notes


def _untrained(names: list[str]) -> list[str]:
    return [f"omitted the test symbols of classes without a training symbol: {first_few(names)}"] if names else []
