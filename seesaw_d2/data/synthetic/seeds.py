"""Create an independent random generator for each image, so that worker processes can draw images in any order."""

import numpy as np

from seesaw_d2.data.synthetic.config import GlyphConfig

_PURPOSES = {"ranks": 1, "plan": 2, "layout": 3, "picture": 4, "negatives": 5}


def generator(config: GlyphConfig, purpose: str, split: int = 0, image: int = 0) -> np.random.Generator:
    """Return a random generator that depends only on the arguments, so that datasets are reproducible.

    Args:
        config: settings of the dataset. Only the seed is used.
        purpose: what the random numbers are used for, a key of ``_PURPOSES`` such as "layout". Different purposes get
            independent generators.
        split: index of the split, 0 for training or 1 for validation.
        image: index of the image in the split.
    """
    return np.random.default_rng([config.seed, _PURPOSES[purpose], split, image])
