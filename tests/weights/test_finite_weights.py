"""Test that weights with NaN or infinity raise errors with their names. Sums of finite weights may overflow."""

import pytest
import torch

from seesaw_d2.errors import WeightsError
from seesaw_d2.train.checkpoints.checkpoint_mismatch import check_types
from seesaw_d2.weights.checkpoint_io import not_finite


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_each_value_is_found(value, dtype):
    weights = torch.randn(1000).to(dtype)
    weights[437] = value
    assert not_finite({"a": torch.ones(3), "b": weights}) == ["b"]


def test_infinities_that_cancel_are_found():
    assert not_finite({"a": torch.tensor([float("inf"), -float("inf")])}) == ["a"]


def test_sums_that_overflow():
    largest = {dtype: torch.full((4,), torch.finfo(dtype).max, dtype=dtype) for dtype in (torch.float16, torch.float32)}
    assert not_finite({"half": largest[torch.float16], "single": largest[torch.float32], "empty": torch.ones(0)}) == []


def test_infinite_counts_name_the_file():
    state = {"loss.class_counts": torch.zeros(2, dtype=torch.int64), "bn.num_batches_tracked": torch.tensor(0)}
    half = {name: torch.full_like(value, 100_000).half() for name, value in state.items()}
    check_types(state, {name: value.float().clamp(max=9) for name, value in half.items()}, "model.pth")
    with pytest.raises(WeightsError, match=r"^model\.pth: loss\.class_counts: expected integers, found .*float16"):
        check_types(state, half, "model.pth")
