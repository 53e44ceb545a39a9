"""Create the annotation files of the training and test tiles in the LVIS v1 format."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from seesaw_d2.data.muscima.tiles import Tile
from seesaw_d2.data.synthetic.plan import frequency

URL = "https://github.com/OMR-Research/muscima-pp"
LICENCE = "CC BY-NC-SA 4.0 (not for commercial use)"
LICENCE_URL = "https://creativecommons.org/licenses/by-nc-sa/4.0/"
CITATION = (
    "Hajič jr. and Pecina, The MUSCIMA++ Dataset for Handwritten Optical Music Recognition, ICDAR 2017; "
    "Fornés et al., CVC-MUSCIMA, IJDAR 15(3), 2012"
)
# A constant date. With the current date, the same settings would not always give the same bytes.
_DATE = "2017-11-09 00:00:00"


def count_categories(tiles: Iterable[Tile], ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Count the tiles and objects of each category.

    Args:
        tiles: the training tiles.
        ids: ids of all categories.

    Returns:
        a dict from category id to (number of tiles with this category, number of objects of this category).
    """
    images: dict[int, int] = defaultdict(int)
    objects: dict[int, int] = defaultdict(int)
    for tile in tiles:
        found = [annotation["category_id"] for annotation in tile.annotations]
        for category in found:
            objects[category] += 1
        for category in set(found):
            images[category] += 1
    return {category: (images[category], objects[category]) for category in ids}


def category_records(ids: Mapping[str, int], counts: Mapping[int, tuple[int, int]]) -> list[dict[str, Any]]:
    """Return the category entries, which are the same in the training and test annotation files.

    As in LVIS, the image and instance counts of the entries are the counts of the training tiles.

    Args:
        ids: dict from category name to id.
        counts: result of ``count_categories``.
    """
    return [
        {
            "id": identity,
            "name": name,
            "synset": f"{name}.n.01",
            "synonyms": [name],
            "def": f"MUSCIMA++ class {name}",
            "image_count": counts[identity][0],
            "instance_count": counts[identity][1],
            "frequency": frequency(counts[identity][0]),
        }
        for name, identity in ids.items()
    ]


def annotation_file(
    tiles: list[Tile], categories: list[dict[str, Any]], part: str, side: int, pictures: str, first_image: int
) -> dict[str, Any]:
    """Return the content of the annotation file for the training or test tiles.

    MUSCIMA++ annotates all symbols. Therefore ``neg_category_ids`` of a tile contains all categories that neither the
    tile's annotations nor ``not_exhaustive_category_ids`` contain.

    Args:
        tiles: the training or test tiles.
        categories: result of ``category_records``.
        part: "train" or "test", which is also the name of the folder of these tiles in the image root.
        side: side length of a tile in pixels.
        pictures: description of the source of the page images.
        first_image: id of the first tile. The ids of training and test tiles must differ.
    """
    ids = {category["id"] for category in categories}
    images, annotations = [], []
    for image_id, tile in enumerate(tiles, start=first_image):
        shown = {annotation["category_id"] for annotation in tile.annotations}
        images.append(
            {
                "id": image_id,
                "width": side,
                "height": side,
                "coco_url": f"{URL}/{part}/{tile.file}",
                "flickr_url": "",
                "license": 1,
                "date_captured": _DATE,
                "neg_category_ids": sorted(ids - shown - set(tile.not_exhaustive)),
                "not_exhaustive_category_ids": tile.not_exhaustive,
            }
        )
        for annotation in tile.annotations:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
    info = {
        "description": f"MUSCIMA++ v2.0 in tiles, {part} part; pictures: {pictures}; cite {CITATION}",
        "url": URL,
        "version": "2.0",
        "year": 2017,
        "contributor": "Jan Hajič jr., Pavel Pecina",
        "date_created": _DATE,
    }
    licences = [{"id": 1, "name": LICENCE, "url": LICENCE_URL}]
    return {
        "info": info,
        "licenses": licences,
        "categories": categories,
        "images": images,
        "annotations": annotations,
    }
