"""Sum the rows of a matrix that have the same index, with a deterministic result."""

from torch import Tensor


def sum_rows(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Sum the rows of a matrix that have the same index. Row i of the result is the sum of ``rows[index == i]``.

    The result is deterministic. On CUDA, this function calls ``index_put_``, which sorts the indices. ``index_add_``
    would add the rows in a different order in each run, so that rounding would differ between runs.

    Args:
        rows: (N, K), N rows of K values.
        index: (N,) int64 in [0, count), the row of the result to which each row is added.
        count: number of rows of the result.

    Returns:
        (count, K).
    """
    sums = rows.new_zeros(count, rows.shape[1])
    if rows.device.type == "cuda":
        return sums.index_put_((index,), rows, accumulate=True)
    return sums.index_add_(0, index, rows)
