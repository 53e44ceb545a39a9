"""Read the 1,797 images of handwritten digits that scikit-learn contains. This dataset needs no download.

The images have 8 x 8 pixels with 17 gray levels. The dataset contains 174 to 183 images of each digit. Source: E.
Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

import numpy as np

from seesaw_d2.data.classification.labelled import LabelledSet
from seesaw_d2.errors import ConfigError

TEST_PER_CLASS = 50
# Seed of the random split into training and test images. It does not depend on SEED of DATASETS.REGISTER, because all
# runs must use the same test images.
_SPLIT_SEED = 0


def read_digits(split: str) -> LabelledSet:
    """Read one split of scikit-learn's handwritten digits. The classes are the digits 0 to 9.

    Args:
        split: "test" for 50 randomly chosen images of each digit, or "train" for the other 1,297 images.

    Returns:
        the N images as a uint8 RGB array (N, 8, 8, 3), with their labels and the class names.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ConfigError(
            "DATASETS.REGISTER: the dataset DIGITS needs scikit-learn, but scikit-learn is not installed. Install it "
            "with: pip install scikit-learn"
        ) from None
    digits = load_digits()
    gray = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    rng = np.random.default_rng(_SPLIT_SEED)
    test = np.zeros(len(gray), dtype=bool)
    for digit in range(10):
        test[rng.permutation(np.flatnonzero(digits.target == digit))[:TEST_PER_CLASS]] = True
    chosen = np.flatnonzero(test if split == "test" else ~test)
    arrays = np.repeat(gray[..., None], 3, axis=3)
    whole = LabelledSet(digits.target.astype(np.int64), tuple(map(str, range(10))), arrays=arrays)
    return whole.select(chosen)
