"""Cut a page of handwritten music into square tiles, and create the annotations of each tile in LVIS format."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from seesaw_d2.data.muscima.ink import PAPER, draw_page, scaled
from seesaw_d2.data.muscima.pages import Page
from seesaw_d2.data.muscima.settings import TileSettings


@dataclass(frozen=True)
class Tile:
    """Square part of a page, which is one image of the dataset, with its annotations.

    Attributes:
        file: file name of the tile's image.
        annotations: annotations in LVIS format, without "id" and "image_id".
        not_exhaustive: ids of categories for ``not_exhaustive_category_ids``, because the tile shows symbols of these
            categories that are not annotated. A symbol is not annotated if the tile contains too small a part of it, or
            if the training tiles contain no symbol of its category.
    """

    file: str
    annotations: list[dict[str, Any]]
    not_exhaustive: list[int]


@dataclass(frozen=True)
class TilesOfPage:
    """All tiles of one page, and the number of symbols that are not annotated in any tile.

    Attributes:
        tiles: the tiles.
        copies: number of symbols that are omitted, because they have the class, box and mask of another symbol.
        empty: number of symbols that are omitted, because their mask has no pixels.
    """

    tiles: list[Tile]
    copies: int
    empty: int


def cut_page(
    page: Page,
    image: Path | None,
    folder: Path,
    ids: Mapping[str, int],
    settings: TileSettings,
    *,
    is_train: bool,
    omitted: Collection[int] = (),
) -> TilesOfPage:
    """Cut a page into tiles, and write the images of the tiles.

    Training tiles without annotations are omitted. Test tiles are omitted only if they show white paper alone, because
    evaluation must also count the false positives in tiles without annotations. Tiles that exceed the page are padded
    with white pixels.

    Args:
        page: the annotated page.
        image: scanned image of the page in CVC-MUSCIMA. If None, draw the page from the masks of all symbols.
        folder: folder to which the images are written.
        ids: category ids by category name. Symbols of other categories are not annotated.
        settings: settings of the tiles.
        is_train: if True, cut training tiles, which overlap by ``settings.overlap`` pixels. If False, cut test tiles,
            which do not overlap.
        omitted: ids of categories whose symbols are not annotated. If a tile shows such a symbol, the id is in
            ``Tile.not_exhaustive``, so that evaluation does not count detections of the symbol as false positives.
    """
    ink, _, _ = scaled(PAPER - draw_page(page, image), settings.scale)
    symbols, copies, empty = _shrunk_symbols(page, ids, settings.scale)
    tiles = []
    for top, left in _corners(ink.shape, settings.tile, settings.overlap if is_train else 0):
        annotations, not_exhaustive = _annotations(symbols, top, left, settings, omitted)
        window = ink[top : top + settings.tile, left : left + settings.tile]
        if annotations or (not is_train and window.any()):
            name = f"w{page.writer:02d}_p{page.number:02d}_{top:04d}_{left:04d}.png"
            picture = np.full((settings.tile, settings.tile), PAPER, dtype=np.uint8)
            picture[: window.shape[0], : window.shape[1]] -= window
            Image.fromarray(picture).save(folder / name)
            tiles.append(Tile(name, annotations, not_exhaustive))
    return TilesOfPage(tiles, copies, empty)


def _shrunk_symbols(page: Page, ids: Mapping[str, int], scale: float) -> tuple[list[tuple], int, int]:
    """Downscale the masks of a page's symbols. Omit copies of symbols, and symbols with an empty mask.

    Args:
        page: the annotated page.
        ids: category ids by category name. Symbols of other categories are omitted.
        scale: scale factor of the page.

    Returns:
        three values: a list with (category id, mask, top, left) for each symbol, where the position is in pixels of the
        downscaled page. The number of omitted copies. The number of omitted symbols with an empty mask.
    """
    found, seen, copies, empty = [], set(), 0, 0
    for symbol in page.symbols:
        if symbol.category not in ids:
            continue
        if symbol.key in seen:
            copies += 1
        elif symbol.is_empty:
            empty += 1
        else:
            coverage, top, left = scaled(symbol.mask.astype(np.uint8) * 255, scale, symbol.top, symbol.left)
            mask = coverage >= 128
            # A thin line may cover less than half of every pixel, and the mask would be empty. In this case, use all
            # pixels that the line touches.
            found.append((ids[symbol.category], mask if mask.any() else coverage > 0, top, left))
        seen.add(symbol.key)
    return found, copies, empty


def _corners(shape: tuple[int, int], tile: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield the (top, left) position of each tile, so that the tiles cover the whole page.

    Args:
        shape: height and width of the page in pixels.
        tile: side length of a tile in pixels.
        overlap: overlap of adjacent tiles in pixels.
    """
    tops, lefts = (range(0, max(side - overlap, 1), tile - overlap) for side in shape)
    yield from ((top, left) for top in tops for left in lefts)


def _annotations(
    symbols, top: int, left: int, settings: TileSettings, omitted: Collection[int]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Create the annotations of one tile.

    Args:
        symbols: symbols of the page, each as (category id, mask, top, left) in pixels of the downscaled page.
        top, left: position of the tile's top left corner on the downscaled page.
        settings: settings of the tiles.
        omitted: ids of categories whose symbols are not annotated.

    Returns:
        the annotations in LVIS format, and the sorted ids of the categories whose symbols are visible but not
        annotated.
    """
    annotations, pieces = [], set()
    for category, mask, y, x in symbols:
        rows, columns = _inside(y, mask.shape[0], top, settings.tile), _inside(x, mask.shape[1], left, settings.tile)
        if rows is None or columns is None:
            continue
        piece = mask[rows, columns]
        visible = int(piece.sum())
        if not visible:
            continue
        if category in omitted or visible < settings.visible * mask.sum():
            pieces.add(category)
            continue
        whole = np.zeros((settings.tile, settings.tile), dtype=np.uint8, order="F")
        y0, x0 = y + rows.start - top, x + columns.start - left
        whole[y0 : y0 + piece.shape[0], x0 : x0 + piece.shape[1]] = piece
        annotations.append({"category_id": category, **_shape(whole)})
    return annotations, sorted(pieces)


def _inside(start: int, length: int, tile_start: int, tile: int) -> slice | None:
    """Return the rows (or columns) of a symbol's mask that are inside a tile, or None if no row (or column) is inside.

    Args:
        start: first row (or column) of the symbol on the page.
        length: number of rows (or columns) of the symbol.
        tile_start: first row (or column) of the tile on the page.
        tile: number of rows (or columns) of the tile.
    """
    low, high = max(tile_start - start, 0), min(tile_start + tile - start, length)
    return slice(low, high) if low < high else None


def _shape(mask: np.ndarray) -> dict[str, Any]:
    """Return the fields "bbox", "area" and "segmentation" of an annotation in LVIS format.

    The segmentation is run-length encoded, because polygons would fill the holes in noteheads.

    Args:
        mask: mask of the object in the whole tile, a uint8 array of 0 and 1 in Fortran order.
    """
    encoded = coco_mask.encode(mask)
    return {
        "bbox": coco_mask.toBbox(encoded).tolist(),
        "area": int(coco_mask.area(encoded)),
        "segmentation": {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")},
    }
