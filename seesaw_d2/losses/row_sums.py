"""Deterministic sums of rows with the same index."""

from torch import Tensor


def sum_rows(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Return (count, K), where row i is the sum of the ``rows`` (N, K) with ``index`` (N,) equal to i.

    The result is deterministic. On CUDA ``index_put_`` sorts the indices first, but ``index_add_`` adds in any order.
    """
    sums = rows.new_zeros(count, rows.shape[1])
    if rows.device.type == "cuda":
        return sums.index_put_((index,), rows, accumulate=True)
    return sums.index_add_(0, index, rows)
