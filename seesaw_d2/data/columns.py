"""Objects of a data set as columns, for what counts them all.

I images, M objects.
"""

import numpy as np

# (M,) int64 the image, (M,) int64 the category, (M,) bool whether it is a crowd.
ObjectColumns = tuple[np.ndarray, np.ndarray, np.ndarray]


def renumbered(columns: ObjectColumns, chosen: np.ndarray, num_images: int) -> ObjectColumns:
    """The objects of some images, by these images' places among the chosen.

    Args:
        chosen: indices of images, each once.
        num_images: I, of all.
    """
    place = np.full(num_images, -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    image, category, crowd = columns
    image = place[image]
    kept = image >= 0
    return image[kept], category[kept], crowd[kept]


def images_of_categories(image: np.ndarray, category: np.ndarray, num_images: int) -> tuple[np.ndarray, np.ndarray]:
    """The different pairs of category and image, sorted: (P,) categories, (P,) images."""
    pairs = np.unique(category * num_images + image)
    return pairs // max(num_images, 1), pairs % max(num_images, 1)
