"""Create a separate random generator for each purpose and image, so that results do not depend on earlier draws."""

import numpy as np

from seesaw_d2.data.synthetic.config import GlyphConfig

_PURPOSES = {"ranks": 1, "plan": 2, "layout": 3, "picture": 4, "negatives": 5}


def generator(config: GlyphConfig, purpose: str, split: int = 0, image: int = 0) -> np.random.Generator:
    """Return the generator for a purpose. ``split`` 0 is training, ``image`` counts from 0 within the split."""
    return np.random.default_rng([config.seed, _PURPOSES[purpose], split, image])
