"""Sum rows with the same index deterministically."""

from torch import Tensor


def sum_rows(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Return a tensor (count, K) whose row i is the sum of all rows r of ``rows`` with ``index[r]`` equal to i.

    The result is deterministic. On CUDA, this function calls ``index_put_``, which sorts the indices. ``index_add_``
    would add the rows in a random order.

    Args:
        rows: (N, K), N rows of K values.
        index: (N,) int64 in [0, count).
        count: number of rows of the result.
    """
    sums = rows.new_zeros(count, rows.shape[1])
    if rows.device.type == "cuda":
        return sums.index_put_((index,), rows, accumulate=True)
    return sums.index_add_(0, index, rows)
