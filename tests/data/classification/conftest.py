"""Provide small labelled image files."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path):
    """Return a folder with the subfolders cat (3 images of 40 x 30 pixels, each with one color), dog (2), emu (1)."""
    root = tmp_path / "images"
    for index, (name, count) in enumerate([("cat", 3), ("dog", 2), ("emu", 1)]):
        (root / name).mkdir(parents=True)
        for number in range(count):
            array = np.full((30, 40, 3), 60 * index + 10 * number, dtype=np.uint8)
            Image.fromarray(array).save(root / name / f"{number}.png")
    return root
