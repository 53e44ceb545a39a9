"""Check that stored proposals belong to the images that a program has processed."""

from collections.abc import Sequence

from seesaw_d2.choosing.stored_proposals import StoredProposals
from seesaw_d2.errors import DataError


def checked(stored: StoredProposals, image_ids: Sequence[int]) -> StoredProposals:
    """Return stored proposals, after a check that they belong to the images that a program has processed, in order.

    Raises:
        DataError: they belong to other images, for example because two programs wrote to the folder at the same time.
    """
    if stored.image_ids != list(image_ids):
        raise DataError(
            f"{stored.folder}: expected the proposals of {len(image_ids)} images in the order of the dataset, found "
            f"proposals of {len(stored)} images. Some images differ, or the order differs. Possibly two programs wrote "
            "to this folder at the same time. Choose another folder"
        )
    return stored
