import json

import pytest

from seesaw_d2.data.synthetic import make_glyphs, plain_glyphs


@pytest.fixture(scope="session")
def small_config():
    return plain_glyphs(
        num_categories=44,  # four categories are pairs of characters
        num_train_images=130,
        num_val_images=40,
        max_category_images=30,
        val_instances_per_category=4,
    )


@pytest.fixture(scope="session")
def small_set(small_config, tmp_path_factory):
    """Return the folder of a small dataset with images. Tests must not change the folder."""
    root = tmp_path_factory.mktemp("glyphs") / "small"
    make_glyphs(root, small_config, workers=1)
    return root


@pytest.fixture(scope="session")
def small_json(small_set):
    """Return a dict from the name of a split to its annotations."""
    return {
        split: json.loads((small_set / f"annotations/glyphs_{split}.json").read_text(encoding="utf-8"))
        for split in ("train", "val")
    }
