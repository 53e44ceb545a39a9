"""Test that the allowed nesting of a pickle is below Python's recursion limit."""

import io
import pickle

import pytest

from seesaw_d2.utils.pickle_checks import check_pickle
from seesaw_d2.utils.pickle_values import MAX_DEPTH


def nested(kind, depth: int) -> io.BytesIO:
    value: object = 1
    for _ in range(depth):
        value = {"a": value} if kind is dict else kind([value])
    return io.BytesIO(pickle.dumps({"model": value}))


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_the_bound(kind):
    check_pickle(nested(kind, MAX_DEPTH - 2))
    with pytest.raises(pickle.UnpicklingError, match="nested"):
        check_pickle(nested(kind, MAX_DEPTH + 1))
