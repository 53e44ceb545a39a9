"""Deterministic sums of rows with the same index."""

from torch import Tensor


def sum_rows(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Return a tensor (count, K) whose row i is the sum of the ``rows`` (N, K) with ``index`` (N,) equal to i.

    The result is deterministic. On CUDA, ``index_put_`` sorts the indices, but ``index_add_`` adds in a random order.
    """
    sums = rows.new_zeros(count, rows.shape[1])
    if rows.device.type == "cuda":
        return sums.index_put_((index,), rows, accumulate=True)
    return sums.index_add_(0, index, rows)
