"""Write files in the format of CIFAR-10's Python version."""

import pickle

import numpy as np


def write_cifar(folder):
    """Write six batches of the same 20 images, two of each of ten classes, and return their data."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
    batch = {"data": data, "labels": [i % 10 for i in range(20)]}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    return data
